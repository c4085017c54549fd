"""Written values are kept.

What: whatever the experiment's file or the command line sets is in the plan as it was written.
Why it matters: frameworks that correct a value in passing, with a line in a log, train something else than what stands
in the reviewed file.
Example: two `use` recipes that set `optim.lr` differently are refused (RLC0210) instead of the last one winning.
Fix: nothing in a spec can break this; it guards the compiler's own passes.  Report it.
Source: CFG-04; AReaL PR#1457, NeMo-RL PR#3208.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Auto
from compiler.ir.paths import read
from compiler.ir.subject import Subject

CODE = "RLC0315"
ID = "CFG-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report written fields whose resolved value is another one."""
    for path, value in subject.written_values:
        now = read(subject.experiment, path)
        if now != value and not isinstance(value, Auto):
            yield Diagnostic(
                CODE,
                f"{subject.shown(path)} was written as {value!r} and resolved to {now!r}",
                subject.labels((path, "as written")),
                (Help("this is a fault of rlc: please report it"),),
                rule=ID,
                paths=(path,),
            )
