"""Habits of the house that no linter knows: names of files, docstrings, state of modules, plain ASCII."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from checks.tree import SOURCE, Finding, Module, modules

NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager"})

# What draws boxes, bars or arrows on a terminal holds the characters that it draws with.
DRAWS = ("compiler/diagnostics/text.py", "rlc/cli/*.py", "runtime/telemetry/*view*.py")

EMPTY_CONTAINERS = frozenset({"dict", "list", "set", "defaultdict", "deque", "OrderedDict"})


def check(root: Path) -> Iterator[Finding]:
    """Yield what breaks a habit."""
    for module in modules(root, *SOURCE):
        yield from _package(root, module)
        yield from _name(module)
        yield from _docstring(module)
        yield from _state(module)
        yield from _ascii(module)


def _package(root: Path, module: Module) -> Iterator[Finding]:
    if not (root / module.path).with_name("__init__.py").exists():
        yield Finding(module.path, 0, "stands in a folder without __init__.py, where no import contract sees it")


def _name(module: Module) -> Iterator[Finding]:
    for part in Path(module.path).with_suffix("").parts:
        if part in NAMELESS:
            yield Finding(module.path, 0, f"'{part}' names no idea")


def _docstring(module: Module) -> Iterator[Finding]:
    if not (ast.get_docstring(module.tree) or "").strip():
        yield Finding(module.path, 1, "a module opens with a docstring that says what it is")


def _state(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield Finding(module.path, node.lineno, "a function does not write to its module")
    for node in module.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_empty_container(node.value):
            yield Finding(module.path, node.lineno, "an empty container in a module is state that is filled later")


def _is_empty_container(value: ast.expr) -> bool:
    match value:
        case ast.Dict(keys=[]) | ast.List(elts=[]):
            return True
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]):
            return name in EMPTY_CONTAINERS
        case _:
            return False


def _ascii(module: Module) -> Iterator[Finding]:
    if module.text.isascii() or any(fnmatch(module.path, pattern) for pattern in DRAWS):
        return
    for number, line in enumerate(module.text.splitlines(), 1):
        if not line.isascii():
            odd = "".join(sorted({c for c in line if not c.isascii()}))
            yield Finding(module.path, number, f"not plain ASCII: {odd}")
