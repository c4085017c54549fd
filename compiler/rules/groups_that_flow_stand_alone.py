"""Groups that flow stand alone.

What: a stage with `schedule.mode = "one_step_off"` or "async" judges each group by itself, compares it with no response
that is sampled beside it, samples no environment's episodes, and has a filter that makes up for each group that it
leaves out.
Why it matters: groups begin, end and are broken off one by one, and a batch is the oldest of those that wait.  A reward
of a whole batch, or a greedy response beside each group, is of another moment than the batch; an episode cannot be kept
between two turns; and how many groups are under way is what the bound of staleness says, so a filter neither samples
more of them at once nor trains on fewer.
Example: `schedule.mode = "async"` with `algo.name = "remax"`, or with `rollout.filter.on_shortage = "train_fewer"`.
Fix: `schedule.mode = "sync"`; or a reward of a sample or a group, `rollout.filter.on_shortage = "keep_filtered"`, no
`rollout.filter.oversample`.
Source: LIVE-06; NeMo-RL refuses dynamic sampling in its asynchronous loop, slime partial rollouts in its.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.algorithm import GreedyBaselineAlgo
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0398"
ID = "LIVE-06"

_OVERSAMPLE, _SHORTAGE = "rollout.filter.oversample", "rollout.filter.on_shortage"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what cannot be said of one group at a time."""
    for stage in subject.stages():
        rollout, reward, algo = stage.stage.rollout, stage.stage.reward, stage.stage.algorithm.algo
        if not stage.stage.schedule.lag or not isinstance(rollout, Rollout):
            continue
        if isinstance(algo, GreedyBaselineAlgo):
            message = f"{algo.name} samples a greedy response beside each group, and groups are of several weights"
            yield _diagnostic(stage, message, "algo.name", "of the weights of one moment")
        if not isinstance(reward, Off) and reward.level == "batch":
            message = (
                f"{reward.name} judges a whole batch, and groups of a loop that does not wait are judged one by one"
            )
            yield _diagnostic(stage, message, "reward.name", "judges a batch")
        if not isinstance(stage.stage.environment, Off):
            message = "responses that are under way when weights are sent are broken off, and an episode cannot be"
            yield _diagnostic(stage, message, "environment.name", "episodes of several turns")
        if isinstance(rollout.filter, Off):
            continue
        if rollout.filter.on_shortage == "train_fewer":
            message = "a loop that does not wait trains on whole batches: each group left out is made up for"
            way = stage.fix(_SHORTAGE, "keep_filtered")
            yield _diagnostic(stage, message, _SHORTAGE, "trains on fewer", way)
        if rollout.filter.oversample != 1:
            message = "how many groups are under way is what the bound of staleness allows, and no multiple of it"
            yield _diagnostic(stage, message, _OVERSAMPLE, "asks for more", stage.fix(_OVERSAMPLE, 1.0))


def _diagnostic(stage: StageSubject, message: str, field: str, said: str, *ways: Help) -> Diagnostic:
    return Diagnostic(
        CODE,
        message,
        stage.labels(("schedule.mode", "does not wait"), (field, said)),
        alternatives(*ways, stage.fix("schedule.mode", "sync")),
        rule=ID,
        paths=(stage.path("schedule.mode"), stage.path(field)),
    )
