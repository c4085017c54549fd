"""Where rows come from: each form of a source opened, and cut to the rows that are meant.

Three things can be asked of an opened source: its rows from a number on, in order; an index, behind which any row can
be had by its number; and a digest, which a run that resumes compares.  Streams have no index.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Never, Protocol

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.data import PreferenceSource, ScoredSource, TextSource, TrainSource
from compiler.ir.openness import Off
from runtime.data.datasets_library import DatasetRows, StreamedRows, fingerprint, load_hub, load_saved
from runtime.data.function_rows import FunctionRows
from runtime.data.jsonl import JsonLines, Unread
from runtime.data.parquet import ParquetRows
from runtime.data.slices import Slice, read_slice
from runtime.data.tables import Columns


class Rows(Protocol):
    """The rows of a source in order."""

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows from a number on, to the end.  Raises: SpecError for what is wrong with the whole source."""
        ...


class IndexedRows(Rows, Protocol):
    """The rows of a source that has an end, each of which can be had by its number."""

    def load_index(self) -> int:
        """Make rows ready to be had by their numbers, and return how many there are.  Raises: as `rows`."""
        ...

    def row(self, number: int) -> Unread:
        """Return a row by its number, after `load_index`."""
        ...


def streams(source: TextSource[Never]) -> bool:
    """Whether the rows of a source are read in order while a run goes on."""
    if not isinstance(source, (TrainSource, PreferenceSource, ScoredSource)):
        return False
    return source.streaming or source.format == "function"


def open_rows(source: TextSource[Never], columns: Columns, *, root: Path) -> Rows:
    """Return the rows of a source; paths are relative to `root`.  Raises: SpecError for what is wrong with it.

    Args:
        columns: the keys that are read; what stores columns gives no others.
    """
    opened = _open(source, columns, root)
    cut = read_slice(source.rows, name=source.called)
    if cut is None:
        return opened
    return _Cut(opened, cut) if streams(source) or source.format == "function" else _CutIndexed(opened, cut)


def open_indexed(source: TextSource[Never], columns: Columns, *, root: Path) -> IndexedRows:
    """Return the rows of a source that does not stream.  Raises: as `open_rows`."""
    opened = open_rows(source, columns, root=root)
    if isinstance(opened, JsonLines | ParquetRows | DatasetRows | _CutIndexed):
        return opened
    raise InternalError(f"{source.called} has no index")


def digest_of(sources: Sequence[TextSource[Never]], *, root: Path) -> str:
    """Return what names the content of sources: bytes of files, a revision of the hub, the code of a function."""
    total = hashlib.sha256()
    for source in sources:
        if isinstance(source.path, str):
            for path in _files(root / source.path):
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
        elif not isinstance(source.code, Off):
            total.update(bytes.fromhex(source.code.sha256))
        else:
            said = (source.hub, source.subset, source.split, source.revision)
            known = "" if streams(source) else fingerprint(load_hub(source, streaming=False))
            total.update(f"{said!r} {known}".encode())
    return total.hexdigest()


def digest_of_files(paths: Sequence[str], *, root: Path) -> str:
    """Return what names the content of files, nothing where there are none."""
    total = hashlib.sha256()
    for path in paths:
        with (root / path).open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if paths else ""


def _open(source: TextSource[Never], columns: Columns, root: Path) -> Rows:
    name = source.called
    if source.format == "jsonl":
        return JsonLines(root / name, name=name)
    if source.format == "parquet":
        return ParquetRows(root / name, name=name, columns=columns)
    if source.format == "arrow":
        return DatasetRows(load_saved(source, root / name), path=root / name, name=name, columns=columns)
    if source.format == "function" and not isinstance(source.code, Off):
        return FunctionRows(source.code, name=name, root=root, timeout_s=source.timeout_s)
    if streams(source):
        return StreamedRows(source, columns=columns)
    return DatasetRows(load_hub(source, streaming=False), path=Path(name), name=name, columns=columns)


class _Cut:
    """A part of the rows of a stream."""

    def __init__(self, whole: Rows, cut: Slice) -> None:
        self._whole, self._cut = whole, cut

    def rows(self, first: int) -> Iterator[Unread]:
        """Yield the rows of the part from a number on.  Raises: SpecError RLC0615 if it reaches beyond the rows."""
        begin, end, count = self._cut.first + first, self._cut.end, 0
        for unread in islice(self._whole.rows(begin), None if end is None else max(0, end - begin)):
            count += 1
            yield unread
        is_short = end is not None and begin + count < end
        if is_short or (count == 0 and first == 0):
            self._cut.size(sum(1 for _ in self._whole.rows(0)))


class _CutIndexed(_Cut):
    """A part of the rows of a source that has an end."""

    def __init__(self, whole: Rows, cut: Slice) -> None:
        super().__init__(whole, cut)
        self._indexed = whole

    def load_index(self) -> int:
        """Return how many rows the part has.  Raises: SpecError RLC0615 if it reaches beyond the rows."""
        return self._cut.size(self._of().load_index())

    def row(self, number: int) -> Unread:
        """Return a row by its number in the part."""
        return self._of().row(self._cut.first + number)

    def _of(self) -> JsonLines | ParquetRows | DatasetRows:
        if isinstance(self._indexed, JsonLines | ParquetRows | DatasetRows):
            return self._indexed
        raise InternalError("a part of rows without an index")


def _files(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return [path]
    return sorted(found for found in path.rglob("*") if found.is_file())


def check_source(source: TextSource[Never], columns: Columns, *, root: Path) -> None:
    """Look at what can be known of a source that is read later: its file, its code.  Raises: SpecError."""
    opened = _open(source, columns, root)
    if isinstance(opened, FunctionRows):
        opened.check()
    elif not isinstance(opened, StreamedRows):
        next(opened.rows(0), None)
