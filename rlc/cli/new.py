"""`rlc new`: an experiment, a rule or a reward to begin with.  Nothing that is there is ever overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from rlc.cli.completion import complete_model, complete_recipe, complete_target
from rlc.cli.output import Output

_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PYTHON = re.compile(r"[a-z][a-z0-9_]*")


def experiment(
    context: typer.Context,
    name: str = typer.Argument(help="Its name, or its file: with .star it is Starlark."),
    recipe: str = typer.Option(
        "grpo", "--recipe", autocompletion=complete_recipe, help="What it starts from: rlc recipes."
    ),
    model: str = typer.Option(
        "tiny_qwen3", "--model", autocompletion=complete_model, help="The model: a name of the standard library."
    ),
    target: str = typer.Option("cpu", "--target", autocompletion=complete_target, help="The kind of machine."),
    gpus: str = typer.Option("", "--gpus", help="The GPUs of a node, such as 8xH100-80-SXM; a cpu has none."),
    star: bool = typer.Option(False, "--star", help="Write Starlark instead of TOML."),
) -> int:
    """Write a small experiment, and say what has to be filled in."""
    from compiler.compile import compile_spec
    from compiler.ir.algorithm import SeveralRewardsAlgo
    from rlc.catalogue import scan
    from rlc.library import label_called, no_such_name, roots_here
    from rlc.recipes import algorithm_of, read_recipe
    from rlc.templates import Choices, starlark_experiment, toml_experiment
    from rlc.text_files import create

    output: Output = context.obj
    star = star or name.endswith(".star")
    name = name.removesuffix(".star").removesuffix(".toml")
    _check(name, _EXPERIMENT, "letters, digits and _.-, such as grpo-small")
    catalogue = scan()
    roots = roots_here(catalogue)
    found = read_recipe(recipe, catalogue, roots)
    if target not in catalogue.targets:
        raise no_such_name("target", target, catalogue.targets)
    of_model = label_called(model, "models", catalogue, roots)
    algorithm = algorithm_of(found.label, catalogue)
    entry = catalogue.load_algorithm(algorithm) if algorithm else None
    samples = entry is None or entry.kind in ("policy", "distillation")
    is_taught = entry is not None and entry.kind == "distillation"
    several = entry is not None and any(
        issubclass(record, SeveralRewardsAlgo) for record in entry.params.fields()["algo"].kind.records
    )
    choices = Choices(name, found.label, of_model, target, gpus, samples, several, is_taught)
    path = Path(f"{name}.star" if star else f"{name}.toml")
    has_function = found.path.suffix == ".star"
    create(path, starlark_experiment(choices, has_function=has_function) if star else toml_experiment(choices))
    compiled = compile_spec(path, catalogue)
    output.diagnostics(compiled.diagnostics)
    following = "rlc plan" if compiled.plan is not None else "fill in what is missing, then rlc check"
    output.result(f"{path} is written; next: {following} {path}")
    return 0


def rule(context: typer.Context, name: str = typer.Argument(help="What must hold: tp_divides_heads.")) -> int:
    """Write a rule, in a checkout of rlc.  A spec that breaks it and a test come with it."""
    from rlc.templates import next_free_code, rule_case, rule_file, rule_test
    from rlc.text_files import create

    output: Output = context.obj
    _check(name, _PYTHON, "lower case, digits and _, such as tp_divides_heads")
    rules, cases, tests = Path("compiler/rules"), Path("tests/cases"), Path("tests/compiler/rules")
    _check_checkout(rules, cases, tests)
    code = next_free_code(rules, Path("compiler/diagnostics/pages"))
    files = {
        rules / f"{name}.py": rule_file(name, code),
        cases / f"{code}_{name}.toml": rule_case(),
        tests / f"test_{name}.py": rule_test(name, code),
    }
    for path, text in files.items():
        create(path, text)
        output.result(str(path))
    output.result(f"next: fill in the lines marked 1, 2 and 3 of {rules / name}.py, and its docstring")
    return 0


def reward(context: typer.Context, name: str = typer.Argument(help="The stem of the file: my_reward.")) -> int:
    """Write a reward of your own.  It is a Python file that a spec can name."""
    from rlc.templates import reward_file
    from rlc.text_files import create

    output: Output = context.obj
    _check(name, _PYTHON, "lower case, digits and _, such as ends_in_time")
    path = Path(f"{name}.py")
    create(path, reward_file(name))
    output.result(f'{path} is written; a spec names it by reward.name = "{path}:reward"')
    return 0


def _check(name: str, pattern: re.Pattern[str], wanted: str) -> None:
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

    if pattern.fullmatch(name) is None:
        raise SpecError(Diagnostic("RLC0032", f"{name!r} is no name for a new file", help=(Help(f"take {wanted}"),)))


def _check_checkout(*folders: Path) -> None:
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        way = Help("call it in the top folder of a checkout of rlc")
        raise SpecError(Diagnostic("RLC0033", f"there is no folder {missing[0]} here", help=(way,)))
