"""Formats are known.

What: how the rows of a path are stored follows from its suffix (`.jsonl`, `.ndjson`, `.parquet`, none for a folder that
`datasets` saved), or is said; a data set of the hub and a function have formats of their own.
Why it matters: rows that are read as what they are not fail at their first line, or are one row instead of many.
Example: `path = "train.json"`, which may be one list or an object a line.
Fix: `format = "jsonl"` beside the path.
Source: the language's rule that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject, toml_literal
from compiler.rules._data_sources import sources_of

CODE = "RLC0362"
ID = ""

_OF_A_PATH = ("jsonl", "parquet", "arrow")
_NOUNS = {"hub": "data set of the hub", "function": "function"}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report paths whose suffix says nothing, and formats that are not of what a source names."""
    for stage in subject.stages():
        for path, source in sources_of(stage):
            if isinstance(source.path, str) and source.format not in _OF_A_PATH:
                is_open = isinstance(source.format, Auto)
                said = f"the suffix of {source.path} does not say how rows are stored"
                message = said if is_open else f"{source.path} is a path, and {source.format} no format of one"
                ways = (
                    Help("write format = " + " or ".join(map(toml_literal, _OF_A_PATH)) + " beside it"),
                    Help('"jsonl" is one JSON object a line, "arrow" a folder that save_to_disk wrote'),
                )
                labels = stage.labels((f"{path}.format", "said here"), (f"{path}.path", "stored how?"))
                yield Diagnostic(CODE, message, labels, ways, paths=(stage.path(f"{path}.format"),))
            for place in ("hub", "function"):
                if isinstance(source.__dict__[place], str) and source.format not in (place, *_other(source.__dict__)):
                    yield Diagnostic(
                        CODE,
                        f"{source.called} is a {_NOUNS[place]}, and {source.format} a format of files",
                        stage.labels((f"{path}.{place}", "rows of this"), (f"{path}.format", "not of a path")),
                        (Help("leave out format"),),
                        paths=(stage.path(f"{path}.format"),),
                    )


def _other(values: dict[str, object]) -> tuple[object, ...]:
    """Where a path is named as well, another rule has said enough."""
    return (values["format"],) if isinstance(values["path"], str) else ()
