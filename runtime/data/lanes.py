"""Rows that come one after another without an end, epoch after epoch: what one source gives, or several in a row.

A lane is asked for what comes from a number on, and what comes follows from the number: that is how a run resumes.  It
yields jobs, which may be done in other threads, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Generic, Never, Protocol, TypeVar

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import TextSource
from runtime.data.jsonl import Unread, no_rows
from runtime.data.order import DataOrder, permutation
from runtime.data.reading import Outcome
from runtime.data.sources import IndexedRows, Rows

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Job = Callable[[], Outcome[T]]
# Makes of a row what is trained on; the number is that of the row in its lane's sources.
ReadRow = Callable[[Unread, int, int], Outcome[T]]


class Drawn(Generic[T]):
    """A row that was drawn: the index of its source, and the job that reads it."""

    __slots__ = ("job", "source")

    def __init__(self, source: int, job: Job[T]) -> None:
        self.source, self.job = source, job


class Lane(Protocol[T]):
    """Rows without an end."""

    def drawn(self, first: int) -> Iterator[Drawn[T]]:
        """Yield what is drawn from a number on.  Raises: SpecError for what is wrong with a whole source."""
        ...


class ReadyLane(Generic[T]):
    """Rows that have been read."""

    def __init__(self, rows: Sequence[T], sources: Sequence[int], order: DataOrder) -> None:
        self._rows, self._sources, self._order = rows, sources, order

    def drawn(self, first: int) -> Iterator[Drawn[T]]:
        """Yield what is drawn from a number on."""
        for row in self._order.from_position(first):
            yield Drawn(self._sources[row], partial(Outcome, value=self._rows[row]))


class IndexedLane(Generic[T]):
    """Rows of sources that have an end, one source after another, each read when it is drawn.

    Args:
        sources: the index of each source, its rows, and how many there are.
        read: given a row, the index of its source and its number in all.
    """

    def __init__(self, sources: Sequence[tuple[int, IndexedRows, int]], order: DataOrder, read: ReadRow[T]) -> None:
        self._sources, self._order, self._read = sources, order, read

    def drawn(self, first: int) -> Iterator[Drawn[T]]:
        """Yield what is drawn from a number on."""
        for number in self._order.from_position(first):
            local = number
            for index, rows, size in self._sources:
                if local < size:
                    yield Drawn(index, partial(self._job, rows, local, index, number))
                    break
                local -= size

    def _job(self, rows: IndexedRows, local: int, index: int, number: int) -> Outcome[T]:
        return self._read(rows.row(local), index, number)


class StreamLane(Generic[T]):
    """Rows of a stream, in the order in which they come or, within windows of so many rows, in one of each epoch.

    Args:
        source: the index of the source and what the spec says of it.
        window: rows that are held and shuffled, or 0 for the order in which they come.
    """

    def __init__(
        self, source: tuple[int, TextSource[Never]], rows: Rows, read: ReadRow[T], *, seed: int, window: int
    ) -> None:
        (self._index, self._source), self._rows, self._read = source, rows, read
        self._seed, self._window = seed, window

    def drawn(self, first: int) -> Iterator[Drawn[T]]:
        """Yield what is drawn from a number on; rows before it are passed over, not read."""
        epoch, number = self._place(first)
        while True:
            start = number - number % self._window if self._window else number
            come = self._rows.rows(start)
            if self._window:
                for window in self._windows(come, epoch, start):
                    yield from islice(window, number - start, None)
                    start = number = start + len(window)
            else:
                for unread in come:
                    yield self._drawn(unread, number)
                    number += 1
            if number == 0:
                raise SpecError(no_rows(self._source.called))
            epoch, number = epoch + 1, 0

    def _windows(self, come: Iterator[Unread], epoch: int, start: int) -> Iterator[list[Drawn[T]]]:
        while held := list(islice(come, self._window)):
            seed = _seed_of(self._seed, start // self._window)
            order = permutation(len(held), seed=seed, epoch=epoch).tolist()
            yield [self._drawn(held[row], start + row) for row in order]
            start += len(held)

    def _place(self, first: int) -> tuple[int, int]:
        """The epoch and the number in it of what is drawn at a number; how long an epoch is shows once it has ended."""
        if first == 0 or next(self._rows.rows(first), None) is not None:
            return 0, first
        return divmod(first, sum(1 for _ in self._rows.rows(0)))

    def _drawn(self, unread: Unread, number: int) -> Drawn[T]:
        return Drawn(self._index, partial(self._read, unread, self._index, number))


def _seed_of(seed: int, window: int) -> int:
    digest = blake2b(f"window {seed} {window}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
