"""The rotary position embedding: how far each pair of channels turns at each position.

A model may turn only some channels of a head.  Long waves may be slowed down, so that positions beyond those of the
pre-training stay within what it has seen.  Sources: Llama 3.1's published `apply_scaling`, with its names; YaRN,
arXiv:2309.00071, section 3.2 and appendix A.2.
"""

from __future__ import annotations

import math
from typing import Never

import torch
from torch import Tensor

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, RopeScaling, Yarn


def rotations(model: Model[Never], facts: Architecture, *, num_positions: int) -> Tensor:
    """Return [T, H / 2] complex64: the turn of each rotary pair at each position; pairs that do not turn hold 1.

    Those of latent attention are only the channels that turn.
    """
    width = model.head_dim if facts.latent is None else facts.latent.turning_dim
    num_turned = int(width * facts.rope_fraction)
    frequency = 1.0 / model.rope_base ** (torch.arange(0, num_turned, 2) / num_turned)
    length_H = torch.ones(width // 2)
    if isinstance(facts.rope_scaling, RopeScaling):
        frequency = _slowed(frequency, facts.rope_scaling)
    elif facts.rope_scaling is not None:
        frequency = _ramped(frequency, facts.rope_scaling, base=model.rope_base)
        length_H[: num_turned // 2] = facts.rope_scaling.length
    frequency_H = torch.zeros(width // 2)
    frequency_H[: num_turned // 2] = frequency
    angle_TH = torch.arange(num_positions)[:, None] * frequency_H
    return torch.polar(length_H.expand_as(angle_TH), angle_TH)


def turned(heads_NAH: Tensor, turn_N1H: Tensor) -> Tensor:
    """Turn the pairs of neighbouring channels [N, A, H] of heads, in place."""
    torch.view_as_complex(heads_NAH.unflatten(-1, (-1, 2))).mul_(turn_N1H)
    return heads_NAH


def _slowed(frequency: Tensor, scaling: RopeScaling) -> Tensor:
    """Waves that fit often into the original context stay, those that fit seldom are slowed, others in between."""
    wavelengths_per_context = scaling.original_max_position_tokens * frequency / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = ((wavelengths_per_context - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
    return frequency * (kept + (1.0 - kept) / scaling.factor)


def _ramped(frequency: Tensor, scaling: Yarn, *, base: float) -> Tensor:
    """Waves that turn often within the original length stay, those that turn seldom are slowed, others in between."""
    num_pairs = frequency.shape[0]

    def place(num_turns: float) -> float:
        """At which pair a wave turns so often within the original length."""
        wavelengths_per_turn = scaling.original_max_position_tokens / (num_turns * 2 * math.pi)
        return num_pairs * math.log(wavelengths_per_turn) / math.log(base)

    first = max(math.floor(place(scaling.beta_fast)), 0)
    last = min(math.ceil(place(scaling.beta_slow)), 2 * num_pairs - 1)
    slowed = ((torch.arange(num_pairs) - first) / (last - first if last != first else 0.001)).clamp(0.0, 1.0)
    return frequency * (1.0 - slowed + slowed / scaling.factor)
