"""Sources read their settings.

What: what is said of a source, and of how rows are read ahead, is something that its form has: `subset` and `revision`
are of a data set of the hub, `split` of one or of a saved folder; `shuffle_window` is of streams, `prefetch` of rows
that are judged when they are drawn, `check` of rows that do not stream; the rows that a function gives to measure on
have an end.
Why it matters: a setting that nothing reads is one that the experiment seems to have and does not.
Example: `[[data.train]] path = "train.jsonl"` with `split = "train"`.
Fix: leave it out, or say what makes it read.
Source: CFG-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._data_sources import PlacedSource, sources_of

CODE = "RLC0361"
ID = "CFG-02"

_READERS = {"subset": ("hub",), "revision": ("hub",), "split": ("hub", "arrow")}
_FORMS = {
    "jsonl": "a file of JSON lines",
    "parquet": "a Parquet file",
    "arrow": "a saved folder",
    "hub": "a data set of the hub",
    "function": "a function",
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report settings that the form of a source does not read."""
    for stage in subject.stages():
        sources = list(sources_of(stage))
        for placed in sources:
            yield from _of_source(stage, placed)
        yield from _of_reading(stage, [placed for placed in sources if placed.trains])


def _of_source(stage: StageSubject, placed: PlacedSource) -> Iterator[Diagnostic]:
    path, source = placed
    form = _FORMS.get(placed.form)
    if form is None:
        return
    for name, formats in _READERS.items():
        if not isinstance(source.__dict__[name], Off) and placed.form not in formats:
            yield _idle(stage, f"{path}.{name}", f"{form} has no {name}", f"leave out {name}")
    if placed.form == "function" and stage.written(f"{path}.streaming"):
        yield _idle(stage, f"{path}.streaming", "the rows of a function always stream", "leave out streaming")
    if placed.form == "function" and not placed.trains and _has_no_end(source.rows):
        message = f"{source.called} may yield rows for ever, and rows to measure on have an end"
        way = Help('write rows = ":500" beside it: the first 500 rows')
        labels = stage.labels((f"{path}.function", "read to its end before anything is measured"))
        yield Diagnostic(CODE, message, labels, (way,), rule=ID, paths=(stage.path(f"{path}.rows"),))


def _of_reading(stage: StageSubject, sources: list[PlacedSource]) -> Iterator[Diagnostic]:
    data = stage.stage.data
    streams = [placed for placed in sources if placed.is_stream]
    if not data.shuffle and stage.written("data.shuffle_window"):
        yield _idle(stage, "data.shuffle_window", "rows come in their order, and in no window", "leave it out")
    elif not streams and stage.written("data.shuffle_window"):
        ways = "leave it out: the rows of files are shuffled as a whole", "or set streaming = true of a source"
        yield _idle(stage, "data.shuffle_window", "no source streams, so there is no window to shuffle within", *ways)
    if not streams and data.check == "at_start" and stage.written("data.prefetch"):
        ways = "leave it out", 'or set data.check = "as_read"'
        yield _idle(stage, "data.prefetch", "all rows are made ready at the start, and none ahead of its step", *ways)
    if len(streams) == len(sources) and stage.written("data.check"):
        message = "the rows of streams and functions are judged when they are drawn"
        yield _idle(stage, "data.check", message, "leave it out")


def _idle(stage: StageSubject, field: str, message: str, *ways: str) -> Diagnostic:
    return Diagnostic(
        CODE,
        message,
        stage.labels((field, "read by nothing")),
        tuple(map(Help, ways)),
        rule=ID,
        paths=(stage.path(field),),
    )


def _has_no_end(rows: str | Off) -> bool:
    return isinstance(rows, Off) or not rows.rpartition(":")[2]
