"""The sides of a step that a stage has: `[debug]` leaves one of them out."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Any
from compiler.ir.evaluated import sampled_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from compiler.ir.reward_settings import PLACED, JudgeReward
from compiler.ir.rollout import Reward


def trains(stage: Stage[Any]) -> bool:
    """Whether a step of a stage trains; otherwise its weights stay as they are."""
    return isinstance(stage.debug, Off) or stage.debug.mode != "rollout_only"


def rolls_out(stage: Stage[Any]) -> bool:
    """Whether a step of a stage samples what it trains on; a recording takes the place of that."""
    return not isinstance(stage.rollout, Off) and (isinstance(stage.debug, Off) or stage.debug.mode != "train_only")


def has_engine(stage: Stage[Any]) -> bool:
    """Whether a stage has a rollout engine: for its steps, or for evaluations alone."""
    return rolls_out(stage) or (not isinstance(stage.rollout, Off) and bool(sampled_sets(stage.eval)))


def judges(stage: Stage[Any]) -> Iterator[tuple[str, JudgeReward]]:
    """Yield the judges that a stage asks, for its steps and its evaluations, with their paths in the stage."""
    rewards: list[tuple[str, object]] = [("reward", stage.reward)] if has_engine(stage) else []
    rewards += [(f"eval.sets.{i}.reward", one.reward) for i, one in enumerate(sampled_sets(stage.eval))]
    for path, reward in rewards:
        if isinstance(reward, Reward):
            parts = [(path, reward), *((f"{path}.terms.{i}", term) for i, term in enumerate(reward.terms))]
            for at, one in parts:
                if one.name == "judge" and isinstance(one.judge, JudgeReward):
                    yield f"{at}.judge", one.judge


def placed_judges(stage: Stage[Any]) -> Iterator[tuple[str, JudgeReward]]:
    """Yield those that ask the judge which the plan itself places."""
    return ((path, judge) for path, judge in judges(stage) if PLACED in judge.url)
