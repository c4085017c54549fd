"""From rows to what is trained on: one row at a time, or all rows of a data set at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, Literal, Never, Protocol, TypeVar

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.data import TextSource
from runtime.data.jsonl import Dropped, Row, RowFaults, Unread
from runtime.data.lengths import LengthLimit, Limit
from runtime.data.sources import open_rows
from runtime.data.tables import Columns

T = TypeVar("T")
S = TypeVar("S", bound="TextSource[Never]")
MalformedPolicy = Literal["error", "drop"]

_CHUNK_ROWS = 1024


class Reading(Protocol[T, S]):
    """Turns rows into what is trained on."""

    def columns(self, source: S) -> Columns:
        """Return the keys of rows that are read."""
        ...

    def parsed(self, row: Row, source: S, index: int, faults: RowFaults) -> T | None:
        """Return a row as tokens, or None after adding what is wrong with it.  It may run in another thread.

        Args:
            index: the number of the row in its data set.
        """
        ...

    def fitted(self, found: T, row: Row, lengths: LengthLimit, faults: RowFaults) -> T | None:
        """Return what was parsed within a length, or None where it is left out."""
        ...


class Loaded(Generic[T]):
    """The rows of a data set, in the order of its sources, each with the index of its source.

    `num_overlong` were too long, and left out or cut; `dropped` are those that were left out as malformed.
    """

    def __init__(self) -> None:
        self.rows: list[T] = []
        self.origins: list[int] = []
        self.num_overlong = 0
        self.dropped = Dropped()


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How rows are read.

    Args:
        most: of each source only so many, or all.
    """

    malformed: MalformedPolicy = "error"
    workers: int = 1
    most: int | None = None


def load_all(sources: Sequence[S], reading: Reading[T, S], limit: Limit, *, root: Path, effort: Effort) -> Loaded[T]:
    """Return all rows of all sources; paths are relative to `root`.

    Raises: SpecError with every fault of the sources (RLC0601 to RLC0609, RLC0615, RLC0616), at most 20 of them in
    full.
    """
    faults, lengths, found = RowFaults(drops=effort.malformed == "drop"), LengthLimit(limit), Loaded[T]()
    num_rows = 0
    for at, source in enumerate(sources):
        for row, parsed in _parsed(source, reading, faults, first=num_rows, root=root, effort=effort):
            num_rows += 1
            fitted = None if parsed is None else reading.fitted(parsed, row, lengths, faults)
            if fitted is not None:
                found.rows.append(fitted)
                found.origins.append(at)
    lengths.report(faults, num_rows=num_rows)
    found.dropped = faults.raise_if_any(num_kept=len(found.rows))
    found.num_overlong = lengths.num_over
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[T]):
    """What became of one row: a value, or none where it was too long or at fault.

    `concerns_all` says of a fault that no row is left out for it: it is not that row's own.
    """

    value: T | None
    is_overlong: bool = False
    fault: SpecError | None = None
    concerns_all: bool = False


def read_one(unread: Unread, source: S, index: int, reading: Reading[T, S], limit: Limit) -> Outcome[T]:
    """Return what becomes of one row by itself."""
    faults, lengths = RowFaults(), LengthLimit(limit)
    row = unread(faults)
    parsed = None if row is None else reading.parsed(row, source, index, faults)
    value = None if row is None or parsed is None else reading.fitted(parsed, row, lengths, faults)
    if limit.policy == "error":
        lengths.report(faults, num_rows=1)
    try:
        faults.raise_if_any()
    except SpecError as fault:
        is_overlong = lengths.num_over > 0
        return Outcome(value=None, is_overlong=is_overlong, fault=fault, concerns_all=faults.concerns_all)
    return Outcome(value=value, is_overlong=lengths.num_over > 0)


def nothing_usable(sources: Sequence[TextSource[Never]], num_rows: int) -> Diagnostic:
    """Return RLC0626."""
    names = ", ".join(dict.fromkeys(source.called for source in sources))
    message = f"of {num_rows:,} rows of {names} none could be used: they are at fault, or too long"
    way = Help('set data.malformed_rows = "error" to see what is wrong with the first')
    return Diagnostic("RLC0626", message, help=(way,), paths=("data.malformed_rows", "data.train"))


def _parsed(
    source: S, reading: Reading[T, S], faults: RowFaults, *, first: int, root: Path, effort: Effort
) -> Iterator[tuple[Row, T | None]]:
    """Yield the rows of a source that could be read; what is wrong with the source as a whole is a fault as well."""
    rows = _readable(source, reading.columns(source), faults, root=root, most=effort.most)
    if effort.workers == 1:
        for index, row in enumerate(rows, first):
            yield row, reading.parsed(row, source, index, faults)
        return

    def parse(index: int, row: Row) -> tuple[T | None, RowFaults]:
        own = RowFaults()
        return reading.parsed(row, source, index, own), own

    index = first
    with ThreadPoolExecutor(effort.workers, thread_name_prefix="rlc-rows") as pool:
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            for row, (parsed, own) in zip(chunk, pool.map(parse, range(index, index + len(chunk)), chunk), strict=True):
                faults.add_all(own)
                yield row, parsed
            index += len(chunk)


def _readable(
    source: TextSource[Never], columns: Columns, faults: RowFaults, *, root: Path, most: int | None
) -> Iterator[Row]:
    try:
        for unread in islice(open_rows(source, columns, root=root).rows(0), most):
            row = unread(faults)
            if row is not None:
                yield row
    except SpecError as error:
        for diagnostic in error.diagnostics:
            faults.add_file(diagnostic)
