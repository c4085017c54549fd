"""Sources name one place.

What: every `[[data.train]]` and every held-out set names one of `path`, `hub` and `function`, and a `hub` its `split`.
Why it matters: with two of them nobody knows which rows are meant, and a data set of the hub has several splits, one of
which is usually held out.
Example: `path = "gsm8k.jsonl"` beside `hub = "openai/gsm8k"`; `hub = "openai/gsm8k"` without `split = "train"`.
Fix: leave one of them; name the split.
Source: the language's rule that there is no last-wins.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._data_sources import sources_of

CODE = "RLC0360"
ID = ""

_PLACES = ("path", "hub", "function")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report sources that name no place, or several, and data sets of the hub without a split."""
    for stage in subject.stages():
        for path, source in sources_of(stage):
            said = [name for name in _PLACES if isinstance(source.__dict__[name], str)]
            table = path.rpartition(".")[0]
            if not said and any(key.why == "unknown" and key.path.startswith(table) for key in subject.unread):
                continue  # one of these was meant, and is told
            if not said:
                yield Diagnostic(
                    CODE,
                    f"{table} names no rows",
                    stage.labels(*((f"{path}.{name}", "of no rows") for name in type(source).fields()))[-1:],
                    (Help('write path = "train.jsonl", a file relative to this one'), Help("or hub, or function")),
                    paths=(stage.path(f"{path}.path"),),
                )
            elif len(said) > 1:
                yield Diagnostic(
                    CODE,
                    f"a source of {table} names {len(said)} places: {' and '.join(said)}",
                    stage.labels(*((f"{path}.{name}", "rows of this place") for name in said)),
                    (Help(f"leave out {' or '.join(said)}; two sources are two tables [[{table}]]"),),
                    paths=tuple(stage.path(f"{path}.{name}") for name in said),
                )
            elif said == ["hub"] and isinstance(source.split, Off):
                yield Diagnostic(
                    CODE,
                    f"{source.hub} of the hub is named without its split",
                    stage.labels((f"{path}.hub", "which split?")),
                    (Help('write split = "train" beside it'),),
                    paths=(stage.path(f"{path}.split"),),
                )
