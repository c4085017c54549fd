"""The rules of this folder, found by scanning it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.subject import Subject

_NOT_RULES = ("__init__", "catalogue")
_ABOUT_GPUS = "gpu"
# What decides whether a stage may sample beside its training, whatever its layout: the planner asks these of a schedule
# that it may choose.
ABOUT_LOOPS = ("RLC0367", "RLC0368", "RLC0398", "RLC0510")


class Rule(NamedTuple):
    """A statement that must hold of every experiment."""

    code: str
    id: str
    name: str
    page: str
    check: Callable[[Subject], Iterator[Diagnostic]]


@cache
def load_rules(*, has_gpus: bool = True) -> tuple[Rule, ...]:
    """Return all rules, or those that say something about a machine without GPUs, ordered by code."""
    return tuple(sorted((*_rules_in(), *(_rules_in(_ABOUT_GPUS) if has_gpus else ()))))


def _rules_in(*folder: str) -> Iterator[Rule]:
    package = ".".join(("compiler", "rules", *folder))
    for file in os.listdir(os.path.join(os.path.dirname(__file__), *folder)):
        name = file.removesuffix(".py")
        if name != file and name not in _NOT_RULES and not name.startswith("_"):
            module = import_module(f"{package}.{name}")
            yield Rule(module.CODE, module.ID, name, module.__doc__ or "", module.check)
