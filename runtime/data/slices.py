"""A part of the rows of a source: `rows = "1000:2000"`, the rows from number 1000 up to 1999, counted from 0."""

from __future__ import annotations

from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.openness import Off


class Slice(NamedTuple):
    """The first row, and the one behind the last, where there is an end; `name` is that of the source."""

    first: int
    end: int | None
    name: str

    def size(self, num_rows: int) -> int:
        """Return how many of so many rows are in it.  Raises: SpecError RLC0615 if it reaches beyond them."""
        if self.first >= num_rows or (self.end is not None and self.end > num_rows):
            raise SpecError(self.beyond(num_rows))
        return (num_rows if self.end is None else self.end) - self.first

    def beyond(self, num_rows: int) -> Diagnostic:
        """Return RLC0615."""
        written = f"{self.first or ''}:{'' if self.end is None else self.end}"
        return Diagnostic(
            "RLC0615",
            f'rows = "{written}" reaches beyond the rows of {self.name}: it has {num_rows:,}, numbers 0 to '
            f"{num_rows - 1:,}",
            help=(Help(f'set rows = "{min(self.first, max(num_rows - 1, 0))}:{num_rows}"'),),
            paths=("data.train",),
        )


def read_slice(rows: str | Off, *, name: str) -> Slice | None:
    """Return the slice of a source, or None where all rows are meant."""
    if isinstance(rows, Off):
        return None
    first, _, end = rows.partition(":")
    return Slice(int(first or 0), int(end) if end else None, name)
