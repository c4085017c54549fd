"""Shaping: what becomes of a reward before advantages are made of it.

In this order: the range is mapped, a truncated response keeps its share, a response close to the limit is fined.

Sources: the mapping and the truncated share are those of NeMo-RL (`reward_scaling`, `stop_properly_penalty_coef`); the
fine is Yu et al., DAPO, arXiv:2503.14476, eq. 13.  DAPO's own goes on growing nowhere, since nothing is longer than
the limit; NeMo-RL's has no floor, for limits that are set lower: `floor = false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from compiler.ir.openness import Off

if TYPE_CHECKING:
    from compiler.ir.reward_settings import Overlong, Scale, Shaping
    from stdlib.samples import Sample


def shaped(reward: float, sample: Sample, shaping: Shaping[Never]) -> float:
    """Return the reward that advantages are made of."""
    if not isinstance(shaping.scale, Off):
        reward = scaled(reward, shaping.scale)
    if sample.finish == "length":
        reward *= shaping.truncated_coef
    if not isinstance(shaping.overlong, Off):
        reward += overlong_fine(sample.num_response_tokens, shaping.overlong)
    return reward


def scaled(reward: float, scale: Scale) -> float:
    """Return a reward, clamped to the source range, at the same place of the target range."""
    within = min(max(reward, scale.source_min), scale.source_max) - scale.source_min
    share = within / (scale.source_max - scale.source_min)
    return scale.target_min + share * (scale.target_max - scale.target_min)


def overlong_fine(num_tokens: int, overlong: Overlong[Never]) -> float:
    """Return what a response of so many tokens loses: 0 up to the buffer, the whole penalty at the limit."""
    over = num_tokens - (overlong.max_tokens - overlong.buffer_tokens)
    share = max(over / overlong.buffer_tokens, 0.0)
    return -overlong.penalty * (min(share, 1.0) if overlong.floor else share)
