"""An algorithm that compares by each of several rewards is given several.

What: with an algorithm such as gdpo, `reward.name` is "weighted_sum" and [[reward.terms]] lists the rewards; none of
them is shaped.
Why it matters: of one number there is nothing to keep apart, and of rewards among which each row chooses no group has
all.  Shaping changes the sum, which such an algorithm does not look at: a penalty for length would fine nobody.
Example: `algo.name = "gdpo"` with `reward.name = "math"`.
Fix: `reward.name = "weighted_sum"`, with a table of [[reward.terms]] for each reward; or `algo.name = "grpo"`.
Source: ALGO-06; GDPO, arXiv:2601.05242.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import SeveralRewardsAlgo
from compiler.ir.openness import Auto, Off
from compiler.ir.reward_settings import SUM
from compiler.ir.rollout import Reward
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0352"
ID = "ALGO-06"
_SHAPING = (
    "reward.shaping.overlong.penalty",
    "reward.shaping.overlong.buffer_tokens",
    "reward.shaping.truncated_coef",
    "reward.shaping.scale.source_min",
)


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages with one reward, or none that all samples have, for an algorithm of several."""
    for stage in subject.stages():
        algo, reward = stage.stage.algorithm.algo, stage.stage.reward
        if not isinstance(algo, SeveralRewardsAlgo) or isinstance(reward, Off):
            continue
        if reward.name == SUM:
            yield from _shaped(stage, reward)
            continue
        yield Diagnostic(
            CODE,
            f"{algo.name} compares samples by each of several rewards, and {reward.name} is no sum of them",
            stage.labels(("algo.name", "needs several rewards"), ("reward.name", "one score for a response")),
            (
                Help(f'write reward.name = "{SUM}" and a table of [[reward.terms]] for each reward'),
                stage.fix("algo.name", "grpo"),
            ),
            rule=ID,
            paths=(stage.path("reward.name"),),
        )


def _shaped(stage: StageSubject, reward: Reward[Auto]) -> Iterator[Diagnostic]:
    if isinstance(reward.shaping, Off):
        return
    field = next((f for f in _SHAPING if stage.written(f)), "reward.shaping")
    yield Diagnostic(
        CODE,
        "[reward.shaping] changes the sum of the rewards, and each is compared by itself",
        stage.labels(("algo.name", "looks at no sum"), (field, "has no effect")),
        (Help("delete reward.shaping"), Help("or make the penalty one of [[reward.terms]], a function of yours")),
        rule=ID,
        paths=(stage.path("reward.shaping"),),
    )
