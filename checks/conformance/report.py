"""A file of a suite, judged chunk by chunk, and the table of all files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from checks.conformance.chunks import Chunk, fingerprint, read_chunks
from checks.conformance.differences import Differences
from checks.conformance.program import Failure, run_chunk

_HEADINGS = ("file", "chunks", "passed", "differ", "failed", "reworded")


class Fault(NamedTuple):
    """A failure that no difference explains, with what names its line in the list of differences."""

    failure: Failure
    key: str


class Judged(NamedTuple):
    """What came of a file.

    `differ` counts the chunks that come out otherwise on purpose; `stale` are lines that the list of differences has
    and that come out as the suite has them.
    """

    name: str
    chunks: int
    passed: int
    differ: int
    reworded: tuple[Failure, ...]
    faults: tuple[Fault, ...]
    stale: tuple[str, ...]

    @property
    def failed(self) -> int:
        """The number of chunks that fail."""
        return self.chunks - self.passed - self.differ


def judge_file(path: Path, differences: Differences, phase: str) -> Judged:
    """Run every chunk of a file."""
    passed = differ = 0
    reworded: list[Failure] = []
    faults: list[Fault] = []
    stale: list[str] = []
    chunks = read_chunks(path.read_text(encoding="utf-8"))
    for chunk in chunks:
        if chunk.options & differences.options.keys() or differences.of_chunk(f"{path.name} {chunk.fingerprint}"):
            differ += 1
            continue
        outcome = run_chunk(chunk, path.name, phase)
        keys = {failure.line: _key(path, chunk, failure.line) for failure in outcome.failures}
        unknown = [failure for failure in outcome.failures if differences.of_line(keys[failure.line]) is None]
        faults += [Fault(failure, keys[failure.line]) for failure in unknown]
        stale += _stale(path, chunk, differences, met=set(keys.values()))
        passed += not outcome.failures
        differ += bool(outcome.failures) and not unknown
        reworded += outcome.reworded
    return Judged(path.name, len(chunks), passed, differ, tuple(reworded), tuple(faults), tuple(stale))


def table(judged: Iterable[tuple[str, Judged]]) -> list[str]:
    """Return the lines of a table of files, each given with its name in it, and their sum."""
    rows = [(name, (each.chunks, each.passed, each.differ, each.failed, len(each.reworded))) for name, each in judged]
    totals = [sum(column) for column in zip(*(counts for _, counts in rows), strict=True)]
    wide = max(len(name) for name in [*(name for name, _ in rows), "total"])
    return [
        _row(wide, _HEADINGS[0], _HEADINGS[1:]),
        *(_row(wide, name, counts) for name, counts in rows),
        _row(wide, "total", totals),
    ]


def _row(wide: int, name: str, cells: Iterable[object]) -> str:
    return f"{name:{wide}}" + "".join(f"{cell!s:>10}" for cell in cells)


def _key(path: Path, chunk: Chunk, line: int) -> str:
    return f"{path.name} {fingerprint(chunk.line(line))}"


def _stale(path: Path, chunk: Chunk, differences: Differences, *, met: set[str]) -> list[str]:
    lines = chunk.text.split("\n")
    keys = {_key(path, chunk, number): number for number in range(chunk.first_line, len(lines) + 1)}
    return [f"{path.name}:{at}: {key}" for key, at in keys.items() if key not in met and differences.of_line(key)]
