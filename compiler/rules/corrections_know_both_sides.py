"""A correction for the gap between engine and trainer knows the log-probs of both.

What: [loss.mismatch] and [loss.rejection] compare the trainer's log-probs before its first update with the engine's,
so `loss.old_logprobs` is "recompute".
Why it matters: with the engine's log-probs as the old ones every weight is 1 and the correction does nothing; with
those of the policy as it is now, the weights would change with each update.
Example: `loss.mismatch.bound = "truncate"` with `loss.old_logprobs = "rollout"`.
Fix: `loss.old_logprobs = "recompute"`.
Source: ALGO-02; slime refuses use_tis together with use_rollout_logprobs.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0350"
ID = "ALGO-02"
_FIELDS = (
    "loss.mismatch.bound",
    "loss.mismatch.function",
    "loss.rejection.level",
    "loss.rejection.veto_below",
    "loss.rejection.max_error",
)


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report corrections that have nothing to compare."""
    for stage in subject.stages():
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, PolicyLoss) or loss.old_logprobs == "recompute":
            continue
        rejection, mismatch = loss.rejection, loss.mismatch
        values = (mismatch.bound, mismatch.function, rejection.level, rejection.veto_below, rejection.max_error)
        asked = [field for field, value in zip(_FIELDS, values, strict=True) if not isinstance(value, Off)]
        if asked:
            yield _diagnostic(stage, loss, asked[0])


def _diagnostic(stage: StageSubject, loss: PolicyLoss[object], field: str) -> Diagnostic:
    is_rollout = loss.old_logprobs == "rollout"
    why = "the engine's own: both sides are equal" if is_rollout else "these move with every update"
    return Diagnostic(
        CODE,
        f"{stage.shown(field)} compares the engine with the trainer, whose log-probs nobody computes",
        stage.labels(("loss.old_logprobs", why), (field, "needs the trainer's log-probs before its first update")),
        (stage.fix("loss.old_logprobs", "recompute"),),
        rule=ID,
        paths=(stage.path("loss.old_logprobs"),),
    )
