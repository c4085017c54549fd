"""Named amounts of memory: what a forecast is made of, so that a person can see what fills a device."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.diagnostics.named_tuple import NamedTuple

GIB = 1 << 30
MIB = 1 << 20


class Line(NamedTuple):
    """One thing that lies in memory, in bytes."""

    name: str
    bytes: float


Lines = tuple[Line, ...]


def total(lines: Iterable[Line]) -> float:
    """Return the bytes of all lines."""
    return sum(line.bytes for line in lines)


def non_empty(*lines: Line) -> Lines:
    """Return the lines that hold something."""
    return tuple(line for line in lines if line.bytes > 0)
