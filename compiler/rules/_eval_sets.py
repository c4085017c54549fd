"""Held-out sets as rules see them: where a setting of one is said, and how a person writes its path."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Help
from compiler.ir.data import EvalSet
from compiler.ir.evaluated import sampled_sets
from compiler.ir.openness import Auto
from compiler.ir.subject import StageSubject, Subject, toml_literal


def eval_sets(subject: Subject) -> Iterator[tuple[StageSubject, int, EvalSet[Auto]]]:
    """Yield every held-out set with its stage and its index."""
    for stage in subject.stages():
        for at, measured in enumerate(sampled_sets(stage.stage.eval)):
            yield stage, at, measured


def said_at(stage: StageSubject, at: int, name: str) -> str:
    """Return the field that decides a setting of a set: its own if that is written, else that of [eval]."""
    own = f"eval.sets.{at}.{name}"
    return own if stage.written(own) else f"eval.{name}"


def fix_set(stage: StageSubject, field: str, value: object) -> Help:
    """Return the help that sets a field which `said_at` returned."""
    head, found, rest = stage.shown(field).partition("eval.sets.")
    index, _, name = rest.partition(".")
    shown = f"{head}eval.sets[{index}].{name}" if found else head
    literal = toml_literal(value)
    return Help(f"set {shown} = {literal}", ((shown, literal),))
