"""Rows of a table that hold of an experiment: each names settings, and what they have to be."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.ir.conditions import holds
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.subject import Subject

Condition = tuple[tuple[str, object], ...]

_OF_STAGES = ("train", "rollout", "schedule", "loss", "algo", "optim")


def places_where(subject: Subject, when: Condition) -> Iterator[tuple[str, ...]]:
    """Yield the paths of a condition for every stage in which it holds, once where stages read the same."""
    seen: set[tuple[str, ...]] = set()
    for index in range(len(subject.experiment.stages)):
        if not all(holds(value_at(subject, _path(name, index)), wanted) for name, wanted in when):
            continue
        paths = tuple(_path(name, index) for name, _ in when)
        shown = tuple(subject.shown(path) for path in paths)
        if shown not in seen:
            seen.add(shown)
            yield paths


def value_at(subject: Subject, path: str) -> object:
    """Return a setting, or None where the experiment has none of that name."""
    try:
        return read(subject.experiment, path)
    except KeyError:  # a stage that samples nothing has no rollout engine, a machine without GPUs no parallelism
        return None


def said(value: object) -> str:
    """Return what a message says behind a setting of a condition."""
    if value is None or isinstance(value, Off):
        return "not set"
    return f"= {str(value).lower() if isinstance(value, bool) else value}"


def _path(name: str, index: int) -> str:
    return f"stages.{index}.{name}" if name.partition(".")[0] in _OF_STAGES else name
