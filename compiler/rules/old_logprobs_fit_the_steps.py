"""The ratio has a denominator that stays where it was.

What: with more than one optimizer step on a rollout, in one pass or in several, old log-probs come from the rollout or
are recomputed before the first step; "current" makes every ratio 1 and the clip range inert.
Why it matters: without the behaviour policy's log-probs the second step is off-policy with no correction at all.
Example: `loss.old_logprobs = "current"` with `train.steps_per_rollout = 4`.
Fix: `loss.old_logprobs = "rollout"`, or one step and one pass on each rollout.
Source: ALGO-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.ir.training import PolicyTrain
from compiler.rules._solved_fixes import counted

CODE = "RLC0310"
ID = "ALGO-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that take several steps with a ratio that is always 1."""
    for stage in subject.stages():
        loss, train = stage.stage.algorithm.loss, stage.stage.train
        if not isinstance(loss, PolicyLoss) or not isinstance(train, PolicyTrain):
            continue
        passes = train.epochs_per_rollout
        steps = train.steps_per_rollout * passes if isinstance(train.steps_per_rollout, int) else 1
        if loss.old_logprobs == "current" and steps > 1:
            yield Diagnostic(
                CODE,
                f"{steps:,} optimizer steps on one rollout need the log-probs of the policy that sampled it",
                stage.labels(
                    ("train.global_batch", f"makes {counted(steps // passes, 'optimizer steps')} of a rollout"),
                    ("train.steps_per_rollout", f"{steps // passes:,} optimizer steps" + " a pass" * (passes > 1)),
                    ("train.epochs_per_rollout", f"{passes:,} passes over the samples of a rollout"),
                    ("loss.old_logprobs", "makes every ratio 1"),
                ),
                _fixes(stage),
                rule=ID,
                paths=(stage.path("loss.old_logprobs"),),
            )


def _fixes(stage: StageSubject) -> tuple[Help, ...]:
    """Both other sources; the engine's log-probs only where it samples from the whole distribution."""
    rollout, recompute = stage.stage.rollout, stage.fix("loss.old_logprobs", "recompute")
    if isinstance(rollout, Rollout) and (rollout.sampling.top_p < 1 or not isinstance(rollout.sampling.top_k, Off)):
        return (recompute,)
    return alternatives(stage.fix("loss.old_logprobs", "rollout"), recompute)
