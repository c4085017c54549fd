"""The rules of this folder, found by scanning it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.subject import Subject

_NOT_RULES = ("__init__", "catalogue")


class Rule(NamedTuple):
    """A statement that must hold of every experiment."""

    code: str
    id: str
    name: str
    page: str
    check: Callable[[Subject], Iterator[Diagnostic]]


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return all rules, ordered by code."""
    rules = []
    for path in Path(__file__).parent.glob("*.py"):
        if path.stem not in _NOT_RULES and not path.stem.startswith("_"):
            module = import_module(f"compiler.rules.{path.stem}")
            rules.append(Rule(module.CODE, module.ID, path.stem, module.__doc__ or "", module.check))
    return tuple(sorted(rules))
