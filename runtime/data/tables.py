"""What sources of rows with columns have in common: their libraries, their rows, and what is said of a column."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from runtime.data.jsonl import Place, Row, RowFaults, unreadable
from runtime.data.plain_values import plain_row


def library(name: str) -> Any:
    """Return a module that only some experiments need.  Raises: SpecError RLC0661 if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as fault:
        missing = name.partition(".")[0]
        message = f"these rows are read by {missing}, which is not installed"
        way = Help("install rlc with the extra of its target, in its checkout: pip install '.[cpu]'")
        raise SpecError(Diagnostic("RLC0661", message, help=(way,))) from fault


def given_row(place: Place, faults: RowFaults) -> Row | None:
    """Return the row that stands at a place, with plain values, or None after adding what is wrong with it."""
    try:
        return Row(place, plain_row(place.shown or {}))
    except ValueError as error:
        faults.add(place, unreadable(f"{place}: {error}"), note="this row")
        return None


class Columns(NamedTuple):
    """The keys of a source that are read: of every row, or of rows that have them."""

    needed: tuple[str, ...]
    others: tuple[str, ...] = ()

    def of_table(self, name: str, columns: Sequence[str]) -> list[str]:
        """Return those that a table is asked for.  Raises: SpecError RLC0602 if it has no column of a needed name."""
        for column in self.needed:
            if column not in columns:
                near = nearest_names(column, columns)
                ways = [Help(f'it has the column "{near[0]}"')] if near else []
                ways.append(Help(f"it has: {', '.join(columns)}"))
                message = f'{name} has no column "{column}"'
                raise SpecError(Diagnostic("RLC0602", message, help=tuple(ways), paths=("data.train",)))
        return [*dict.fromkeys((*self.needed, *(other for other in self.others if other in columns)))]

    def of_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what is read of a row; one whose table was not asked."""
        return {key: value for key, value in row.items() if key in self.needed or key in self.others}


def unreadable_source(message: str, why: str, *ways: Help) -> Diagnostic:
    """Return RLC0616."""
    first = (why.strip() or "no reason was given").splitlines()[0]
    return Diagnostic("RLC0616", f"{message}: {first}", help=ways, paths=("data.train",))
