"""JSON-lines files and the faults in their rows.

Faults are collected, up to a number that a person can read, and reported together.  A label points into the line of
the data file: the source text behind it holds only the lines that are at fault, so that a file of any size has right
line numbers at no cost.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from stdlib.samples import JsonValue

MAX_FAULTS_SHOWN = 20
MAX_LINE_SHOWN = 160


class Place(NamedTuple):
    """A line of a data file, counted from 1; `name` is how the plan writes the file."""

    path: Path
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a data file and where it stands."""

    place: Place
    value: Mapping[str, JsonValue]


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
    """Collects faults over all files of a data set.

    Args:
        drops: whether rows with faults of their own are left out, as [data] malformed_rows = "drop" says.
    """

    def __init__(self, *, drops: bool = False) -> None:
        self._drops = drops
        self._faults: list[Fault] = []
        self._of_all: list[Fault] = []
        self._unplaced: list[Diagnostic] = []
        self._places: set[Place] = set()
        self._num_more = 0

    def add(self, place: Place, diagnostic: Diagnostic, *, column: int = 0, note: str = "") -> None:
        """Keep a fault of one line; beyond the number that is shown it is only counted."""
        self._places.add(place)
        if len(self._faults) < MAX_FAULTS_SHOWN:
            self._faults.append(Fault(place, diagnostic, column, note))
        else:
            self._num_more += 1

    def add_of_all(self, place: Place, diagnostic: Diagnostic, *, note: str = "") -> None:
        """Keep what is not the fault of the row that it was seen at: it is told once, and no row is left out for it."""
        if all(fault.diagnostic.code != diagnostic.code for fault in self._of_all):
            self._of_all.append(Fault(place, diagnostic, note=note))

    def add_file(self, diagnostic: Diagnostic) -> None:
        """Keep a fault of a whole file."""
        self._unplaced.append(diagnostic)

    def raise_if_any(self, *, num_kept: int = 0) -> Dropped:
        """Stop here if anything was found that no row is left out for, or if none of the rows is left.

        Args:
            num_kept: rows without a fault.

        Raises: SpecError with every fault that was kept.
        """
        if not self._of_all and not self._unplaced and self._drops and num_kept:
            return Dropped(len(self._places), self._faults[0].diagnostic if self._faults else None)
        told = [*self._of_all, *self._faults]
        if not told and not self._unplaced:
            return Dropped()
        sources = self._sources(told)
        placed = [_placed(fault, sources[fault.place.path]) for fault in told]
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


def read_rows(path: Path, *, name: str, faults: RowFaults) -> Iterator[Row]:
    """Yield the objects of a JSON-lines file in order; what cannot be read is added to `faults` and passed over.

    Blank lines at the end are allowed.
    """
    num_lines, blank = 0, 0
    try:
        for number, raw in _raw_lines(path):
            if not raw.strip():
                blank = blank or number
                continue
            if blank:
                place = Place(path, name, blank)
                faults.add(place, _unreadable(f"{place} is blank, and rows follow it"))
                blank = 0
            num_lines += 1
            row = _read_row(Place(path, name, number), raw, faults)
            if row is not None:
                yield row
    except OSError as error:
        faults.add_file(_no_file(f"{name} cannot be read: {error.strerror}"))
        return
    if num_lines == 0:
        faults.add_file(_no_file(f"{name} has no rows"))


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
    faults.add(row.place, _unreadable(f"{row.place}: {message}"), note="this row")


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
    try:
        text = raw.rstrip().decode("utf-8-sig" if place.line == 1 else "utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        faults.add(place, _unreadable(f"{place} is not UTF-8: {error.reason}"), note="this line")
    except json.JSONDecodeError as error:
        faults.add(place, _unreadable(f"{place} is not JSON: {error.msg}"), column=error.colno - 1, note="here")
    except (ValueError, RecursionError) as error:
        faults.add(place, _unreadable(f"{place} is not JSON: {error}"), note="this line")
    else:
        if isinstance(value, dict):
            return Row(place, value)
        faults.add(place, _unreadable(f"{place} is not an object: {type_name(value)}"), note="this line")
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


def _unreadable(message: str) -> Diagnostic:
    way = Help('each line is one JSON object, as {"input": "2+2=", "label": "4"}')
    return Diagnostic(code="RLC0603", message=message, help=(way,), paths=("data.train",))


def _no_file(message: str) -> Diagnostic:
    way = Help("paths are relative to the file that names them; the file holds one JSON object a line")
    return Diagnostic(code="RLC0601", message=message, help=(way,), paths=("data.train",))


def _placed(fault: Fault, source: SourceFile) -> Diagnostic:
    text = source.line(fault.place.line)
    start = sum(len(source.line(i)) + 1 for i in range(1, fault.place.line)) + min(fault.column, len(text))
    length = 1 if fault.column else min(len(text), MAX_LINE_SHOWN)
    span = Span(source, start, min(start + length, len(source.text)))
    return fault.diagnostic._replace(labels=(Label(span, fault.note, is_primary=True),))
