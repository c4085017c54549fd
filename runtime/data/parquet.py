"""The rows of Parquet files: one, or all of a folder in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.data.jsonl import Place, Unread, no_file, no_rows
from runtime.data.tables import Columns, given_row, library, unreadable_source

_BATCH_ROWS = 1024


class _File(NamedTuple):
    """A file, what messages call it, how many rows it has, and the columns that are read."""

    path: Path
    name: str
    num_rows: int
    columns: list[str]


class ParquetRows:
    """The rows of a file, or of a folder of files; columns that nothing reads are not loaded."""

    def __init__(self, path: Path, *, name: str, columns: Columns) -> None:
        self._path, self._name, self._columns = path, name, columns
        self._tables: list[tuple[_File, int, Any]] = []

    @property
    def paths(self) -> list[Path]:
        """The files.  Raises: SpecError RLC0601 if there are none."""
        if not os.path.isdir(self._path):
            return [self._path]
        found = sorted(path for path in self._path.iterdir() if path.suffix == ".parquet")
        if not found:
            raise SpecError(no_file(f"{self._name} holds no file that ends in .parquet"))
        return found

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on.  Raises: SpecError RLC0601, RLC0602 (a column), RLC0616."""
        files = self._files()
        for file in files:
            if first >= file.num_rows:
                first -= file.num_rows
                continue
            for number, row in self._rows_of(file, first):
                yield partial(given_row, Place(file.path, file.name, number, is_line=False, shown=row))
            first = 0

    def load_index(self) -> int:
        """Load the columns that are read, and return how many rows there are.  Raises: as `rows`."""
        parquet, start = library("pyarrow.parquet"), 0
        for file in self._files():
            table = self._asked(file.name, partial(parquet.read_table, file.path, columns=file.columns))
            self._tables.append((file, start, table))
            start += file.num_rows
        return start

    def row(self, number: int) -> Unread:
        """Return a row by its number, after `load_index`; it may be read in another thread."""
        file, start, table = next(one for one in reversed(self._tables) if one[1] <= number)
        (row,) = table.slice(number - start, 1).to_pylist()
        return partial(given_row, Place(file.path, file.name, number - start, is_line=False, shown=row))

    def _files(self) -> list[_File]:
        parquet = library("pyarrow.parquet")
        found: list[_File] = []
        for path in self.paths:
            name = self._name if path == self._path else f"{self._name}/{path.name}"
            opened = self._asked(name, partial(parquet.ParquetFile, path))
            columns = self._columns.of_table(name, opened.schema_arrow.names)
            found.append(_File(path, name, opened.metadata.num_rows, columns))
        if not any(file.num_rows for file in found):
            raise SpecError(no_rows(self._name))
        return found

    def _rows_of(self, file: _File, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of a file from a number on; groups of rows before it are not read."""
        opened = self._asked(file.name, partial(library("pyarrow.parquet").ParquetFile, file.path))
        number, groups = 0, list(range(opened.metadata.num_row_groups))
        while number + opened.metadata.row_group(groups[0]).num_rows <= first:
            number += opened.metadata.row_group(groups.pop(0)).num_rows
        batches = iter(opened.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups, columns=file.columns))
        while (batch := self._asked(file.name, partial(next, batches, None))) is not None:
            for row in batch.to_pylist():
                if number >= first:
                    yield number, row
                number += 1

    def _asked(self, name: str, call: partial[Any]) -> Any:
        try:
            return call()
        except FileNotFoundError as error:
            raise SpecError(no_file(f"{name} cannot be read: No such file or directory")) from error
        except (OSError, library("pyarrow").ArrowException) as error:
            raise SpecError(_no_parquet(name, error)) from error


def _no_parquet(name: str, error: Exception) -> Diagnostic:
    way = Help('a file that is no Parquet says so: format = "jsonl" for one JSON object a line')
    return unreadable_source(f"{name} cannot be read as Parquet", str(error), way)
