"""What the standard library and the targets offer by name: labels, and the two reference pages that list them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from compiler.ir.catalogue import Catalogue


def labels(folder: Path) -> tuple[str, ...]:
    """Return the labels of a folder of the standard library, such as `//recipes:grpo`."""
    return tuple(f"//{folder.name}:{path.stem}" for path in _files(folder))


def recipes_page(catalogue: Catalogue) -> str:
    """Return the page of all recipes, each with its text."""
    lines = [
        "# Recipes",
        "",
        'Partial experiments, used as `use = ["//recipes:grpo"]`: they fill what a spec leaves out.',
        "",
    ]
    for label, path in _library(catalogue.stdlib / "recipes"):
        text = path.read_text(encoding="utf-8")
        head, body, language = _head_comment(text), _without_head(text), "toml"
        if path.suffix == ".star":
            # A docstring and comments are written as in Python.
            head, body, language = _docstring(text), text.split('"""', 2)[2].strip(), "python"
        lines += [f"## `{label}`", "", head, "", f"```{language}", body, "```", ""]
    return "\n".join(lines)


def names_page(catalogue: Catalogue) -> str:
    """Return the page of all algorithms, rewards, models and targets."""
    lines = ["# Names", "", "## Algorithms", "", "`algo.name`", ""]
    for name in catalogue.algorithms:
        entry = catalogue.load_algorithm(name)
        samples = "samples its data" if entry.kind == "policy" else "imitates its data"
        lines.append(f"- `{name}`: {entry.summary} It {samples}.")
    lines += ["", "## Rewards", "", "`reward.name`", ""]
    lines += [
        f"- `{name}`: {_module_summary(catalogue.stdlib / 'rewards' / f'{name}.py')}" for name in catalogue.rewards
    ]
    lines += ["- a function of your own: `file.py:function`, or `module:function`"]
    lines += ["", "## Models", "", "`model.name`", ""]
    for label, path in _library(catalogue.stdlib / "models"):
        lines.append(f"- `{label}`: {_head_comment(path.read_text(encoding='utf-8'))}")
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


def _library(folder: Path) -> Iterable[tuple[str, Path]]:
    return zip(labels(folder), _files(folder), strict=True)


def _files(folder: Path) -> list[Path]:
    """The files that hold one recipe or one model each; a family of models lies in one file of many."""
    files = sorted(folder.glob("*.toml"))
    return sorted([*files, *folder.glob("*.star")], key=lambda path: path.stem) if folder.name == "recipes" else files


def _docstring(text: str) -> str:
    return text.split('"""', 2)[1].strip()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


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
