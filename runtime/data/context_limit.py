"""How long a prompt with its answer may be in a stage."""

from __future__ import annotations

from typing import Never

from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from runtime.data.lengths import Limit


def context_limit(stage: Stage[Never], model: Model[Never]) -> Limit:
    """Return the limit of a stage's training data: of the context if it samples, else of the model."""
    rollout = stage.rollout
    if isinstance(rollout, Off):
        return Limit(model.max_position_tokens, "error", "model.max_position_tokens")
    return Limit(rollout.max_context_tokens, rollout.overlong_prompts, "rollout.max_context_tokens")
