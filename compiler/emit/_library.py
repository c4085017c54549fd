"""What the standard library and the targets offer by name: labels, and the two reference pages that list them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from compiler.frontend.roots import library_names
from compiler.ir.catalogue import Catalogue
from compiler.ir.reward_settings import BOXABLE, BOXED


def labels(folder: Path) -> tuple[str, ...]:
    """Return the labels of a folder of the standard library, such as `//recipes:grpo`."""
    return tuple(f"//{folder.name}:{name}" for name in library_names(folder.name, folder.parent))


def recipes_page(catalogue: Catalogue) -> str:
    """Return the page of all recipes, each with its text."""
    lines = [
        "# Recipes",
        "",
        'Partial experiments, used as `use = ["//recipes:grpo"]`: they fill what a spec leaves out.',
        "",
    ]
    for label, path in _recipes(catalogue):
        text = path.read_text(encoding="utf-8")
        head, body, language = _head_comment(text), _without_head(text), "toml"
        if path.suffix == ".star":
            # A docstring and comments are written as in Python.
            head, body, language = _docstring(text), text.split('"""', 2)[2].strip(), "python"
        lines += [f"## `{label}`", "", head, "", f"```{language}", body, "```", ""]
    return "\n".join(lines)


_KINDS = {
    "policy": "samples its data",
    "distillation": "samples its data and asks a teacher",
    "supervised": "imitates its data",
    "preference": "compares the answers of its data",
    "reward": "learns what the answers of its data are worth",
}


_OWN = "- a function of your own: `file.py:function`, or `module:function`"


def names_page(catalogue: Catalogue) -> str:
    """Return the page of all that a spec can name."""
    lines = ["# Names", "", "## Algorithms", "", "`algo.name`", ""]
    for name in catalogue.algorithms:
        entry = catalogue.load_algorithm(name)
        lines.append(f"- `{name}`: {entry.summary} It {_KINDS[entry.kind]}.")
    lines += ["", "## Rewards", "", "`reward.name`", ""]
    lines += [
        f"- `{name}`: {_module_summary(catalogue.stdlib / 'rewards' / f'{name}.py')}" for name in catalogue.rewards
    ]
    boxable = ", ".join(f"`{name}`" for name in BOXABLE)
    lines += [f"- `{BOXED}` before {boxable}: the same of the text in the last `\\boxed{{...}}` of the response"]
    lines += [_OWN]
    for title, field, folder, names in (
        ("Filters", "rollout.filter.name", "filters", catalogue.filters),
        ("Selectors", "rollout.buffer.selector", "selectors", catalogue.selectors),
        ("Environments", "environment.name", "environments", catalogue.environments),
        ("Tools", "environment.tools.name", "tools", catalogue.tools),
        ("Parsers of calls", "environment.parser", "tool_parsers", catalogue.tool_parsers),
    ):
        lines += ["", f"## {title}", "", f"`{field}`", ""]
        lines += [f"- `{name}`: {_module_summary(catalogue.stdlib / folder / f'{name}.py')}" for name in names]
        lines += [_OWN] if folder != "tool_parsers" else []
    lines += ["", "## Models", "", "`model.name`", ""]
    for path in sorted((catalogue.stdlib / "models").iterdir(), key=lambda path: path.stem):
        lines += [f"- {line}" for line in _models(path)]
    lines += ["", "## Recipes", "", "`use`", ""]
    for label, path in _recipes(catalogue):
        lines.append(f"- `{label}`: {_summary(path)}")
    lines += ["", "## Targets", "", "`cluster.target`", ""]
    for name in catalogue.targets:
        target = catalogue.load_target(name)
        lines += [
            f"- `{name}`: {target.devices_per_node} device{'' if target.devices_per_node == 1 else 's'} a node; "
            f"rollout engines {_listed(target.rollout_engines)}; training engines {_listed(target.train_engines)}; "
            f"architectures {_listed(target.families)}; `rlc run` executes {_listed(target.executors)}."
        ]
    return "\n".join([*lines, ""])


def _module_summary(path: Path) -> str:
    """The first paragraph of a module's docstring, which is read and not imported."""
    return " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0].split())


def _recipes(catalogue: Catalogue) -> Iterable[tuple[str, Path]]:
    folder = catalogue.stdlib / "recipes"
    for label in labels(folder):
        yield label, next(folder.glob(f"{label.partition(':')[2]}.*"))


def _models(path: Path) -> Iterable[str]:
    """The models of a file, which holds one of them or a family, and what its first words say of them."""
    if path.suffix not in (".toml", ".star"):
        return
    names = [path.stem]
    if path.suffix == ".star":
        names = [name for name in library_names("models", path.parent.parent) if _exports(path, name)]
    yield f"{_listed(f'//models:{name}' for name in names)}: {_summary(path)}"


def _exports(path: Path, name: str) -> bool:
    return f"\ndef {name}(**" in path.read_text(encoding="utf-8")


def _summary(path: Path) -> str:
    """The first paragraph of a file of the standard library."""
    text = path.read_text(encoding="utf-8")
    return " ".join(_docstring(text).partition("\n\n")[0].split()) if path.suffix == ".star" else _head_comment(text)


def _docstring(text: str) -> str:
    return text.split('"""', 2)[1].strip()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _head_comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _without_head(text: str) -> str:
    lines = text.splitlines()
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        lines.pop(0)
    return "\n".join(lines)
