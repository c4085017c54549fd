"""The rotary position embedding: how far each pair of channels turns at each position.

A model may turn only the first channels of a head, and Llama 3 slows the long waves down so that positions beyond those
of its pre-training stay within what it has seen.  Source: Llama 3.1's published `apply_scaling`, with its names.
"""

from __future__ import annotations

import math
from typing import Never

import torch
from torch import Tensor

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, RopeScaling


def rotations(model: Model[Never], facts: Architecture, *, num_positions: int) -> Tensor:
    """Return [T, H / 2] complex64: the turn of each rotary pair at each position; pairs that do not turn hold 1."""
    num_turned = int(model.head_dim * facts.rope_fraction)
    frequency = 1.0 / model.rope_base ** (torch.arange(0, num_turned, 2) / num_turned)
    if facts.rope_scaling is not None:
        frequency = _slowed(frequency, facts.rope_scaling)
    frequency_H = torch.zeros(model.head_dim // 2)
    frequency_H[: num_turned // 2] = frequency
    angle_TH = torch.arange(num_positions)[:, None] * frequency_H
    return torch.polar(torch.ones_like(angle_TH), angle_TH)


def _slowed(frequency: Tensor, scaling: RopeScaling) -> Tensor:
    """Waves that fit often into the original context stay, those that fit seldom are slowed, others in between."""
    wavelengths_per_context = scaling.original_max_position_tokens * frequency / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = ((wavelengths_per_context - scaling.low_freq_factor) / span).clamp(0.0, 1.0)
    return frequency * (kept + (1.0 - kept) / scaling.factor)
