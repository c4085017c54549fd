"""A time limit of a filter, a selector or a source bounds a function of your own.

What: `rollout.filter.timeout_s`, `rollout.buffer.timeout_s` and `timeout_s` of a source are written only where a
function of your own filters, selects or gives rows.
Why it matters: filters and selectors of the standard library compute and never wait, and files are read as they are; a
key that is set and read by nothing is a wish that nobody hears.
Example: `rollout.filter = { name = "nonzero_std", timeout_s = 10 }`.
Fix: delete it, or name a function of your own.
Source: CFG-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._data_sources import sources_of

CODE = "RLC0396"
ID = "CFG-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report limits of functions where there is no function."""
    for stage in subject.stages():
        for path, called in _without_functions(stage):
            if stage.written(path):
                message = f"{stage.shown(path)} bounds a function of your own, and {called} is none"
                labels = stage.labels((path, "has no effect"))
                yield Diagnostic(CODE, message, labels, (Help("delete it"),), rule=ID, paths=(stage.path(path),))


def _without_functions(stage: StageSubject) -> Iterator[tuple[str, str]]:
    rollout = stage.stage.rollout
    if isinstance(rollout, Rollout):
        if not isinstance(rollout.filter, Off) and isinstance(rollout.filter.code, Off):
            yield "rollout.filter.timeout_s", rollout.filter.name
        if not isinstance(rollout.buffer, Off) and isinstance(rollout.buffer.code, Off):
            yield "rollout.buffer.timeout_s", rollout.buffer.selector
    for placed in sources_of(stage):
        if isinstance(placed.source.function, Off):
            yield f"{placed.path}.timeout_s", placed.source.called
