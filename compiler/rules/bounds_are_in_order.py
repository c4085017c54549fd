"""A lower bound is below the upper one.

What: `low` of [loss.mismatch], [loss.rejection] and [rollout.filter] is at most `high`, and `algo.advantage_low` below
`algo.advantage_high`; a learning rate that falls, the policy's or a critic's, begins above `optim.min_lr`.
Why it matters: between bounds that cross there is nothing: every token is masked, every advantage is one number, or
every group is filtered away, and training goes on without learning.
Example: `[loss.rejection] level = "geometric"` with `low = 1.002`, `high = 0.999`.
Fix: exchange them.
Source: ALGO-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import ActorCriticParams, PolicyAlgo
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0351"
ID = "ALGO-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report pairs of bounds with nothing between them."""
    for stage in subject.stages():
        algo, loss = stage.stage.algorithm.algo, stage.stage.algorithm.loss
        if isinstance(loss, PolicyLoss):
            if loss.mismatch.bound in ("clip", "mask"):
                yield from _pair(
                    stage, "loss.mismatch.low", loss.mismatch.low, "loss.mismatch.high", loss.mismatch.high
                )
            if not isinstance(loss.rejection.level, Off):
                kept = loss.rejection
                yield from _pair(stage, "loss.rejection.low", kept.low, "loss.rejection.high", kept.high)
        rollout = stage.stage.rollout
        if (
            isinstance(rollout, Rollout)
            and not isinstance(rollout.filter, Off)
            and rollout.filter.name == "mean_within"
        ):
            kept_groups = rollout.filter
            yield from _pair(stage, "rollout.filter.low", kept_groups.low, "rollout.filter.high", kept_groups.high)
        optim, params = stage.stage.optim, stage.stage.algorithm
        if optim.schedule != "constant":
            yield from _pair(stage, "optim.min_lr", optim.min_lr, "optim.lr", optim.lr)
            if isinstance(params, ActorCriticParams) and params.critic.lr < optim.min_lr <= optim.lr:
                yield _rising(stage, params.critic.lr, optim.min_lr)
        if isinstance(algo, PolicyAlgo):
            yield from _pair(
                stage, "algo.advantage_low", algo.advantage_low, "algo.advantage_high", algo.advantage_high
            )


def _rising(stage: StageSubject, critic: float, lowest: float) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"the critic's learning rate would rise from {critic:g} to {lowest:g}, where the schedule ends",
        stage.labels(("optim.min_lr", "the end, for both"), ("critic.lr", "below it")),
        (stage.fix("optim.min_lr", critic), stage.fix("critic.lr", lowest)),
        rule=ID,
        paths=(stage.path("optim.min_lr"), stage.path("critic.lr")),
    )


def _pair(stage: StageSubject, low_field: str, low: object, high_field: str, high: object) -> Iterator[Diagnostic]:
    if not isinstance(low, float | int) or not isinstance(high, float | int) or low <= high:
        return
    first, second = stage.fix(low_field, high), stage.fix(high_field, low)
    yield Diagnostic(
        CODE,
        f"nothing is between {low:g} and {high:g}",
        stage.labels((low_field, "the lower bound"), (high_field, "the upper bound")),
        (Help(f"{first.text} and {stage.shown(high_field)} = {low:g}", first.sets + second.sets),),
        rule=ID,
        paths=(stage.path(low_field), stage.path(high_field)),
    )
