"""Rows that the library `datasets` reads: folders that it saved, and data sets of the Hugging Face hub.

It runs no code of a data set: versions that could are not allowed by this project's requirements.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.data import TextSource
from compiler.ir.openness import Off
from runtime.data.jsonl import Place, Unread, no_file, no_rows
from runtime.data.tables import Columns, given_row, library, unreadable_source
from runtime.rewards.border import ForeignCode, RewardCallError

_BATCH_ROWS = 256


class DatasetRows:
    """The rows of a data set that has an end and lies on this machine, in a folder or in the cache of the library."""

    def __init__(self, found: Any, *, path: Path, name: str, columns: Columns) -> None:
        asked = columns.of_table(name, found.column_names)
        if len(found) == 0:
            raise SpecError(no_rows(name))
        self._found, self._path, self._name = found.select_columns(asked), path, name

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on, to the end."""
        for start in range(first, len(self._found), _BATCH_ROWS):
            columns = self._found[start : start + _BATCH_ROWS]
            for at in range(len(next(iter(columns.values())))):
                yield self._given(start + at, {name: values[at] for name, values in columns.items()})

    def load_index(self) -> int:
        """Return how many rows there are."""
        return len(self._found)

    def row(self, number: int) -> Unread:
        """Return a row by its number."""
        return self._given(number, self._found[number])

    def _given(self, number: int, row: dict[str, Any]) -> Unread:
        return partial(given_row, Place(self._path, self._name, number, is_line=False, shown=row))


class StreamedRows:
    """The rows of a data set of the hub as they come over the network."""

    def __init__(self, source: TextSource[Never], *, columns: Columns) -> None:
        self._source, self._columns = source, columns

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on.  Raises: SpecError RLC0616 where they cannot be read."""
        name, number = self._source.called, first
        found = iter(load_hub(self._source, streaming=True).skip(first))
        while (row := _asked(self._source, partial(next, found, None))) is not None:
            place = Place(Path(name), name, number, is_line=False, shown=self._columns.of_row(row))
            yield partial(given_row, place)
            number += 1
        if number == 0:
            raise SpecError(no_rows(name))


def load_hub(source: TextSource[Never], *, streaming: bool) -> Any:
    """Return a data set of the hub.  Raises: SpecError RLC0616 if it cannot be had, RLC0661 without the library."""
    subset, split, revision = (
        None if isinstance(v, Off) else v for v in (source.subset, source.split, source.revision)
    )
    if os.path.exists(source.called):
        # The library would read the folder instead.
        message = f"{source.called} is a folder here, and was named as a data set of the hub"
        way = Help("name a folder as path, or run somewhere else")
        raise SpecError(Diagnostic("RLC0616", message, help=(way,), paths=("data.train",)))
    datasets = _library()
    call = partial(datasets.load_dataset, source.called, subset, split=split, revision=revision, streaming=streaming)
    return _asked(source, call)


def fingerprint(found: Any) -> str:
    """Return what the library tells data sets apart by."""
    return str(found._fingerprint)


def load_saved(source: TextSource[Never], path: Path) -> Any:
    """Return what a folder holds.  Raises: SpecError RLC0601 without the folder, RLC0616 if it cannot be read."""
    if not os.path.isdir(path):
        raise SpecError(
            no_file(f"{source.called} is no folder, and a path without a suffix is one that datasets saved")
        )
    datasets = _library()
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        way = Help("save_to_disk of the library datasets writes such folders; files of rows are named one by one")
        raise SpecError(unreadable_source(f"{source.called} is no saved data set", str(error), way)) from error
    if not isinstance(found, datasets.DatasetDict):
        if not isinstance(source.split, Off):
            raise SpecError(_splits(source, ()))
        return found
    if isinstance(source.split, Off) or source.split not in found:
        raise SpecError(_splits(source, tuple(found)))
    return found[source.split]


def _library() -> Any:
    datasets = library("datasets")
    datasets.disable_progress_bars()  # the terminal is the run's
    return datasets


def _asked(source: TextSource[Never], call: partial[Any]) -> Any:
    """What the library answers; whatever it raises is one fault: its causes are many and its types are not its own."""
    try:
        with ForeignCode(""):
            return call()
    except RewardCallError as error:
        ways = (
            Help("look at its name, subset, split and revision"),
            Help("without a network: save it elsewhere with save_to_disk, and name the folder as path"),
        )
        message = f"{source.called} of the Hugging Face hub cannot be read"
        raise SpecError(unreadable_source(message, error.message, *ways)) from error


def _splits(source: TextSource[Never], known: Sequence[str]) -> Diagnostic:
    if not known:
        message, way = f"{source.called} holds one split, and split = {source.split} names another", "leave out split"
    else:
        message = f"{source.called} holds the splits {', '.join(known)}"
        way = f'set split = "{known[0]}"'
    return Diagnostic("RLC0616", message, help=(Help(way),), paths=("data.train",))
