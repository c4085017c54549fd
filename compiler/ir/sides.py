"""The sides of a step that a stage has: `[debug]` leaves one of them out."""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.ir.evaluated import sampled_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off


def trains(stage: Stage[Any]) -> bool:
    """Whether a step of a stage trains; otherwise its weights stay as they are."""
    return isinstance(stage.debug, Off) or stage.debug.mode != "rollout_only"


def rolls_out(stage: Stage[Any]) -> bool:
    """Whether a step of a stage samples what it trains on; a recording takes the place of that."""
    return not isinstance(stage.rollout, Off) and (isinstance(stage.debug, Off) or stage.debug.mode != "train_only")


def has_engine(stage: Stage[Any]) -> bool:
    """Whether a stage has a rollout engine: for its steps, or for evaluations alone."""
    return rolls_out(stage) or (not isinstance(stage.rollout, Off) and bool(sampled_sets(stage.eval)))
