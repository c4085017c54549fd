"""Slices hold rows.

What: `rows` is written `first:end`, numbers counted from 0, and its end is behind its first; either may be left out.
Why it matters: an empty slice is a data set without rows, which is found only once the data is read.
Example: `rows = "2000:1000"`, `rows = "-100:"`.
Fix: `rows = "1000:2000"`: the rows from number 1000 up to 1999.
Source: slime writes `path@[1000:2000]`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._data_sources import sources_of

CODE = "RLC0363"
ID = ""


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report slices that are no slices, or hold nothing."""
    for stage in subject.stages():
        for path, source in sources_of(stage):
            why = "" if isinstance(source.rows, Off) else _fault(source.rows)
            if why:
                yield Diagnostic(
                    CODE,
                    f'rows = "{source.rows}" of {source.called} {why}',
                    stage.labels((f"{path}.rows", "which rows?")),
                    (Help('write rows = "1000:2000" for rows 1000 up to 1999, counted from 0'),),
                    paths=(stage.path(f"{path}.rows"),),
                )


def _fault(text: str) -> str:
    first, colon, end = text.partition(":")
    if not colon or not all(
        not side or (side.isascii() and side.isdecimal() and len(side) < 19) for side in (first, end)
    ):
        return "is not written first:end, with numbers counted from 0"
    if end and int(end) <= int(first or 0):
        return f"holds no row: {end} is not behind {first or 0}"
    return ""
