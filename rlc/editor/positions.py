"""Places as the Language Server Protocol counts them: lines from 0, and columns in the units that the client chose.

Spans count code points of a text with single line feeds; editors count UTF-16 units unless they agreed on something
else, and keep a carriage return at the end of a line, where no span ever points.
"""

from __future__ import annotations

from typing import Literal

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span

Units = Literal["utf-8", "utf-16", "utf-32"]

_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class Position(NamedTuple):
    """A place between two characters: both numbers count from 0."""

    line: int
    character: int


def position_of(source: SourceFile, offset: int, units: Units) -> Position:
    """Return the place of an offset in code points."""
    line, column = source.position(min(offset, len(source.text)))
    return Position(line - 1, _width(source.line(line)[: column - 1], units))


def range_of(span: Span, units: Units) -> tuple[Position, Position]:
    """Return where a span begins and ends."""
    return position_of(span.file, span.start, units), position_of(span.file, span.end, units)


def offset_of(source: SourceFile, position: Position, units: Units) -> int:
    """Return the offset of a place; one beyond its line, or beyond the text, counts as the end of that."""
    lines = source.text.split("\n")
    if position.line >= len(lines):
        return len(source.text)
    text = lines[position.line]
    codec, size = _CODECS[units]
    before = text.encode(codec, "surrogatepass")[: position.character * size].decode(codec, "ignore")
    return sum(len(line) + 1 for line in lines[: position.line]) + len(before)


def _width(text: str, units: Units) -> int:
    codec, size = _CODECS[units]
    return len(text.encode(codec, "surrogatepass")) // size
