"""What `--shrink` did to an experiment, for those who show it."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class Change(NamedTuple):
    """One field that is changed: its path, what it was, what it becomes, and the rule that says so."""

    path: str
    before: object
    after: object
    why: str


class Shrunk(NamedTuple):
    """The changes, by the paths that a person writes, and the keys that the smaller experiment does not execute."""

    changes: tuple[Change, ...]
    not_executed: tuple[str, ...]
