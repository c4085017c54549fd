"""A place in a source text.

Offsets count code points of the text with CRLF folded to LF.  Lines and columns are computed when a place is shown.
"""

from __future__ import annotations

from bisect import bisect_right

from compiler.diagnostics.named_tuple import NamedTuple


class SourceFile:
    """A text that spans point into, and the name under which a person knows it."""

    __slots__ = ("_line_starts", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._line_starts: list[int] | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and column of an offset, both counted from 1."""
        starts = self._starts()
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1, without its line break."""
        starts = self._starts()
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end]

    def _starts(self) -> list[int]:
        if self._line_starts is None:
            found = [0]
            at = self.text.find("\n")
            while at >= 0:
                found.append(at + 1)
                at = self.text.find("\n", at + 1)
            self._line_starts = found
        return self._line_starts


class Span(NamedTuple):
    """Half-open range of code points in one source file."""

    file: SourceFile
    start: int
    end: int

    @property
    def text(self) -> str:
        """The text that the span covers."""
        return self.file.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line on which the span begins, counted from 1."""
        return self.file.position(self.start)[0]

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"
