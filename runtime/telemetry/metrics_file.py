"""metrics.jsonl: every row of a run, one line each, in the order in which they were measured.

A checkpoint records how long the file was.  A resumed run cuts it back to there and goes on, so that the file of a run
that was killed is that of one that never was, but for keys under `time/`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.telemetry.rows import Row, encode_row
from stdlib.samples import Sample


class MetricsFile:
    """Appends rows to a JSON-lines file; each row is whole on disk or not there."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it with its folder.  What a kill left of an unfinished last line is cut off."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        end = _end_of_last_line(path)
        if end < path.stat().st_size:
            self._file.truncate(end)

    @staticmethod
    def truncate(path: Path, offset: int) -> None:
        """Cut the file back to the length in bytes that a checkpoint recorded; 0 empties it.

        Raises: SpecError RLC0650 if the file is shorter, or has no line ending there.
        """
        size = path.stat().st_size if path.exists() else 0
        if size < offset:
            raise SpecError(_does_not_fit(path, f"has {size:,} bytes, but the checkpoint recorded {offset:,}"))
        if size == 0:
            return
        with path.open("r+b") as file:
            if offset:
                file.seek(offset - 1)
                if file.read(1) != b"\n":
                    raise SpecError(_does_not_fit(path, f"has no row ending at byte {offset:,}, which it recorded"))
            if offset < size:
                file.truncate(offset)
                os.fsync(file.fileno())

    @property
    def offset(self) -> int:
        """Length of the file in bytes, all of them on the disk when this returns."""
        self._flush()
        return os.fstat(self._file.fileno()).st_size

    def write(self, row: Row) -> None:
        """Append the row with a single write.  Raises: SpecError RLC0651 if the disk does not take it."""
        line = encode_row(row)
        start = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(line)
            if written != len(line):
                self._file.truncate(start)
                raise OSError(f"only {written} of {len(line)} bytes fitted")
        except OSError as fault:
            raise SpecError(write_failed(self._path, fault)) from fault

    def transcripts(self, step: int, samples: Sequence[Sample]) -> None:
        """Record nothing: this file holds numbers, and texts have files of their own."""

    def close(self) -> None:
        """Put everything on the disk and close the file; closing twice is fine.  Raises: SpecError RLC0651."""
        if not self._file.closed:
            with self._file:
                self._flush()

    def _flush(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as fault:
            raise SpecError(write_failed(self._path, fault)) from fault


def write_failed(path: Path, fault: OSError) -> Diagnostic:
    """Return the diagnostic of a file of the run directory that could not be written."""
    return Diagnostic(
        code="RLC0651",
        message=f"cannot write {path}: {fault.strerror or fault}",
        help=(Help("free space or repair permissions, then run the same command again: it resumes"),),
    )


def _end_of_last_line(path: Path) -> int:
    end = path.stat().st_size
    with path.open("rb") as file:
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _does_not_fit(path: Path, what: str) -> Diagnostic:
    return Diagnostic(
        code="RLC0650",
        message=f"{path} does not belong to the checkpoint: it {what}",
        help=(
            Help("restore the file that was there when the checkpoint was written"),
            Help("or start the run again in an empty run directory"),
        ),
    )
