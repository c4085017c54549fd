"""One change of a text."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class Edit(NamedTuple):
    """A piece of a text, from `start` to before `end`, and what takes its place."""

    start: int
    end: int
    text: str
