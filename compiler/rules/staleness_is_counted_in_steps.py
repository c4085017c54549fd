"""Staleness is counted in optimizer steps.

What: a warning where samples of a loop that does not wait may be behind by more optimizer steps than its bound says,
since one weight update is several optimizer steps; it prints how many.
Why it matters: each step on a rollout moves the policy further from the one that sampled, so the ratio is clipped more
often, and a bound of 1 is none.
Example: `max_staleness = 1` with `steps_per_rollout = 4`: samples are up to 4 steps behind when training on them
begins, and 7 when it ends.
Fix: one step on each rollout, or an allowance with the reason.
Source: LIVE-03; miles#1697, miles PR#2524.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.subject import Subject
from compiler.ir.training import PolicyTrain

CODE = "RLC0534"
ID = "LIVE-03"
_LAG, _STEPS, _PASSES = "schedule.max_staleness", "train.steps_per_rollout", "train.epochs_per_rollout"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report asynchronous stages with several steps on each rollout."""
    for stage in subject.stages():
        schedule, train = stage.stage.schedule, stage.stage.train
        if not schedule.lag or not isinstance(train, PolicyTrain):
            continue
        lag, passes = schedule.lag, train.epochs_per_rollout
        steps = train.steps_per_rollout * passes if isinstance(train.steps_per_rollout, int) else 1
        if steps > 1:
            yield Diagnostic(
                CODE,
                f"samples may be {lag * steps:,} optimizer steps behind when training on them begins, and "
                f"{lag * steps + steps - 1:,} when it ends",
                stage.labels(
                    ("schedule.mode", "sampling does not wait"),
                    (_LAG, f"{lag:,} weight updates of {steps:,} steps"),
                    ("train.global_batch", f"{steps:,} steps on each rollout"),
                    (_STEPS, f"{steps:,} steps on each rollout"),
                    (_PASSES, f"{passes:,} passes over each rollout"),
                ),
                rule=ID,
                severity="warning",
                paths=(stage.path(_LAG), stage.path(_STEPS)),
            )
