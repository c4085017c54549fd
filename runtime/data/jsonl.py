"""JSON-lines files, the rows of any source, and the faults in them.

Faults are collected, up to a number that a person can read, and reported together.  A label points into the line of
the data file: the source text behind it holds only the lines that are at fault, so that a file of any size has right
line numbers at no cost.  A row that stands in no line is shown as JSON.
"""

from __future__ import annotations

import json
import math
import os
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from stdlib.samples import JsonValue

MAX_FAULTS_SHOWN = 20
MAX_LINE_SHOWN = 160


class Place(NamedTuple):
    """A line of a data file, counted from 1, or a row, counted from 0; `name` is how the plan writes the source.

    `shown` is what a row holds that stands in no line.
    """

    path: Path
    name: str
    line: int
    is_line: bool = True
    shown: Mapping[str, JsonValue] | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.is_line else f"{self.name}: row {self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a data file and where it stands."""

    place: Place
    value: Mapping[str, JsonValue]


# A row that may not have been read yet: called with where faults go, it returns the row, or None after adding one.
Unread = Callable[["RowFaults"], Row | None]


class Fault(NamedTuple):
    """What is wrong with one line; `column` is counted from 0."""

    place: Place
    diagnostic: Diagnostic
    column: int = 0
    note: str = ""


class Dropped(NamedTuple):
    """Rows that were left out because something is wrong with them: how many, and with which fault the first."""

    count: int = 0
    first: Diagnostic | None = None


class RowFaults:
    """Collects faults over all sources of a data set.

    Args:
        drops: whether rows with faults of their own are left out, as [data] malformed_rows = "drop" says.
    """

    def __init__(self, *, drops: bool = False) -> None:
        self._drops = drops
        self._faults: list[Fault] = []
        self._of_all: list[Fault] = []
        self._unplaced: list[Diagnostic] = []
        self._places: set[str] = set()
        self._num_more = 0

    @property
    def concerns_all(self) -> bool:
        """Whether anything was found that no row is left out for."""
        return bool(self._of_all or self._unplaced)

    def add(self, place: Place, diagnostic: Diagnostic, *, column: int = 0, note: str = "") -> None:
        """Keep a fault of one row; beyond the number that is shown it is only counted."""
        self._places.add(str(place))
        if len(self._faults) < MAX_FAULTS_SHOWN:
            self._faults.append(Fault(place, diagnostic, column, note))
        else:
            self._num_more += 1

    def add_of_all(self, place: Place, diagnostic: Diagnostic, *, note: str = "") -> None:
        """Keep what is not the fault of the row that it was seen at: it is told once, and no row is left out for it."""
        if all(fault.diagnostic.code != diagnostic.code for fault in self._of_all):
            self._of_all.append(Fault(place, diagnostic, note=note))

    def add_file(self, diagnostic: Diagnostic) -> None:
        """Keep a fault of a whole source."""
        self._unplaced.append(diagnostic)

    def add_all(self, others: RowFaults) -> None:
        """Keep what others have collected, behind one's own."""
        for fault in others._faults:
            self.add(fault.place, fault.diagnostic, column=fault.column, note=fault.note)
        for fault in others._of_all:
            self.add_of_all(fault.place, fault.diagnostic, note=fault.note)
        self._places |= others._places
        self._num_more += others._num_more
        self._unplaced += others._unplaced

    def raise_if_any(self, *, num_kept: int = 0) -> Dropped:
        """Stop here if anything was found that no row is left out for, or if none of the rows is left.

        Args:
            num_kept: rows without a fault.

        Raises: SpecError with every fault that was kept.
        """
        if not self.concerns_all and self._drops and num_kept:
            return Dropped(len(self._places), self._faults[0].diagnostic if self._faults else None)
        told = [*self._of_all, *self._faults]
        if not told and not self._unplaced:
            return Dropped()
        sources = self._sources([fault for fault in told if fault.place.is_line])
        placed = [_placed(fault, sources[fault.place.path]) if fault.place.is_line else _shown(fault) for fault in told]
        if self._num_more:
            more = f"{self._num_more:,} more rows at fault"
            placed[-1] = placed[-1]._replace(help=(*placed[-1].help, Help(f"and {more} in the data")))
        raise SpecError(*self._unplaced, *placed)

    def _sources(self, told: Sequence[Fault]) -> dict[Path, SourceFile]:
        wanted: dict[Path, dict[int, str]] = {}
        names = {fault.place.path: fault.place.name for fault in told}
        for fault in told:
            wanted.setdefault(fault.place.path, {})[fault.place.line] = ""
        for path, lines in wanted.items():
            for number, raw in _raw_lines(path, last=max(lines)):
                if number in lines:
                    lines[number] = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        return {
            path: SourceFile(names[path], "\n".join(lines.get(i, "") for i in range(1, max(lines) + 1)))
            for path, lines in wanted.items()
        }


class JsonLines:
    """The rows of a JSON-lines file.  Blank lines at the end are allowed; others are rows at fault."""

    def __init__(self, path: Path, *, name: str) -> None:
        self._path, self._name = path, name
        self._starts: array[int] | None = None
        self._numbers: array[int] | None = None
        self._file = -1

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on, to the end.  Raises: SpecError RLC0601 without a readable file or a row."""
        count = 0
        for number, raw in self._lines():
            if count >= first:
                yield partial(_read_row, Place(self._path, self._name, number), raw)
            count += 1
        if count == 0:
            raise SpecError(no_rows(self._name))

    def load_index(self) -> int:
        """Find out where each row begins, and return how many there are.  Raises: as `rows`."""
        starts, numbers, at, blank_at = array("Q"), array("Q"), 0, list[tuple[int, int]]()
        try:
            for number, raw in _raw_lines(self._path):
                if raw.strip():
                    if blank_at:  # rows follow, so the first blank line is a row at fault
                        starts.append(blank_at[0][0])
                        numbers.append(blank_at[0][1])
                        blank_at.clear()
                    starts.append(at)
                    numbers.append(number)
                else:
                    blank_at.append((at, number))
                at += len(raw)
            self._file = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise SpecError(_not_readable(self._name, error)) from error
        if not starts:
            raise SpecError(no_rows(self._name))
        starts.append(at)
        self._starts, self._numbers = starts, numbers
        return len(numbers)

    def row(self, number: int) -> Unread:
        """Return a row by its number, after `load_index`; it may be read in another thread."""
        if self._starts is None or self._numbers is None:
            raise ValueError("the index was not loaded")
        start, end = self._starts[number], self._starts[number + 1]
        return partial(self._read_at, Place(self._path, self._name, self._numbers[number]), start, end - start)

    def _read_at(self, place: Place, start: int, size: int, faults: RowFaults) -> Row | None:
        lines = os.pread(self._file, size, start).split(b"\n", 1)
        return _read_row(place, lines[0], faults)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        blank: list[int] = []
        try:
            for number, raw in _raw_lines(self._path):
                if not raw.strip():
                    blank.append(number)
                    continue
                if blank:
                    yield blank[0], b""
                    blank.clear()
                yield number, raw
        except OSError as error:
            raise SpecError(_not_readable(self._name, error)) from error


def value_at(row: Row, key: str, faults: RowFaults) -> JsonValue | Missing:
    """Return what a row holds at a key, or MISSING after adding a fault that names the nearest key."""
    if key in row.value:
        return row.value[key]
    near = nearest_names(key, row.value)
    known = ", ".join(row.value) or "nothing"
    ways = [Help(f'the row has the key "{near[0]}"')] if near else []
    diagnostic = Diagnostic(
        code="RLC0602",
        message=f'{row.place} has no key "{key}"',
        help=(*ways, Help(f"the row has: {known}")),
        paths=("data.train",),
    )
    faults.add(row.place, diagnostic, note=f'"{key}" is missing')
    return MISSING


def number_at(row: Row, key: str, faults: RowFaults) -> float | None:
    """Return the finite number that a row holds at a key, or None after adding what is wrong with it."""
    value = value_at(row, key, faults)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    if not isinstance(value, Missing):
        shown = "a number beyond all floats" if type_name(value) == "a number" else type_name(value)
        wrong_type(row, f'"{key}" has to be a number, and is {shown}', faults)
    return None


def wrong_type(row: Row, message: str, faults: RowFaults) -> None:
    """Add the fault that a value of a row is not what it has to be."""
    faults.add(row.place, unreadable(f"{row.place}: {message}"), note="this row")


class Missing:
    """The type of MISSING: no value, where null would be one."""


MISSING = Missing()


def _raw_lines(path: Path, last: int | None = None) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            yield number, raw
            if number == last:
                return


def _read_row(place: Place, raw: bytes, faults: RowFaults) -> Row | None:
    if not raw.strip():
        faults.add(place, unreadable(f"{place} is blank, and rows follow it"))
        return None
    try:
        text = raw.rstrip().decode("utf-8-sig" if place.line == 1 else "utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        faults.add(place, unreadable(f"{place} is not UTF-8: {error.reason}"), note="this line")
    except json.JSONDecodeError as error:
        faults.add(place, unreadable(f"{place} is not JSON: {error.msg}"), column=error.colno - 1, note="here")
    except (ValueError, RecursionError) as error:
        faults.add(place, unreadable(f"{place} is not JSON: {error}"), note="this line")
    else:
        if isinstance(value, dict):
            return Row(place, value)
        faults.add(place, unreadable(f"{place} is not an object: {type_name(value)}"), note="this line")
    return None


def type_name(value: JsonValue) -> str:
    """Return what JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"


def num_rows_phrase(count: int) -> str:
    """Return a count of rows in words."""
    return "1 row" if count == 1 else f"{count:,} rows"


def _no_constant(text: str) -> Never:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)


def unreadable(message: str) -> Diagnostic:
    """Return RLC0603."""
    way = Help('each line is one JSON object, as {"input": "2+2=", "label": "4"}')
    return Diagnostic(code="RLC0603", message=message, help=(way,), paths=("data.train",))


def no_file(message: str) -> Diagnostic:
    """Return RLC0601."""
    way = Help("paths are relative to the file that names them; the file holds one JSON object a line")
    return Diagnostic(code="RLC0601", message=message, help=(way,), paths=("data.train",))


def no_rows(name: str) -> Diagnostic:
    """Return RLC0601 for a source without rows."""
    return no_file(f"{name} has no rows")


def _not_readable(name: str, error: OSError) -> Diagnostic:
    return no_file(f"{name} cannot be read: {error.strerror}")


def _placed(fault: Fault, source: SourceFile) -> Diagnostic:
    text = source.line(fault.place.line)
    start = sum(len(source.line(i)) + 1 for i in range(1, fault.place.line)) + min(fault.column, len(text))
    length = 1 if fault.column else min(len(text), MAX_LINE_SHOWN)
    span = Span(source, start, min(start + length, len(source.text)))
    return fault.diagnostic._replace(labels=(Label(span, fault.note, is_primary=True),))


def _shown(fault: Fault) -> Diagnostic:
    """A fault of a row that stands in no line, with what the row holds."""
    text = json.dumps(fault.place.shown, ensure_ascii=False, default=str)[:MAX_LINE_SHOWN]
    span = Span(SourceFile(str(fault.place), text), 0, len(text))
    return fault.diagnostic._replace(labels=(Label(span, fault.note, is_primary=True),))
