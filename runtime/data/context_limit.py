"""How long a prompt with its answer may be in a stage."""

from __future__ import annotations

from typing import NamedTuple, Never

from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from runtime.data.prompts import OverlongPolicy


class Limit(NamedTuple):
    """How long a prompt with its answer may be, what happens to a longer one, and the field that says it."""

    tokens: int
    policy: OverlongPolicy
    field: str


def context_limit(stage: Stage[Never], model: Model[Never]) -> Limit:
    """Return the limit of a stage's training data: of the context if it samples, else of the model."""
    rollout = stage.rollout
    if isinstance(rollout, Off):
        return Limit(model.max_position_tokens, "error", "model.max_position_tokens")
    return Limit(rollout.max_context_tokens, rollout.overlong_prompts, "rollout.max_context_tokens")
