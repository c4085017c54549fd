"""What is left out of a mean was rejected.

What: `loss.rejection.left_out` stands beside what leaves something out, `loss.rejection.level` or
`loss.rejection.veto_below`.
Why it matters: without either nothing is left out, and the means are over the same tokens with either value; what
`max_error` masks is never counted.
Example: `[loss.rejection] left_out = "skip"` alone.
Fix: `loss.rejection.level = "token"`, or delete `left_out`.
Source: ALGO-02; CFG-02 for two settings that read one.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0334"
ID = "ALGO-02"
_FIELD = "loss.rejection.left_out"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report a way of counting where there is nothing to count."""
    for stage in subject.stages():
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, PolicyLoss) or not stage.written(_FIELD):
            continue
        if isinstance(loss.rejection.level, Off) and isinstance(loss.rejection.veto_below, Off):
            yield Diagnostic(
                CODE,
                f"{stage.shown(_FIELD)} is set, and nothing is left out",
                stage.labels((_FIELD, "has no effect")),
                (stage.fix("loss.rejection.level", "token"), Help("or delete it")),
                rule=ID,
                paths=(stage.path(_FIELD),),
            )
