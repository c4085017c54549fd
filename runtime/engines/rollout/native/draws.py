"""Uniform draws that depend on the name of a token and on nothing else.

A draw is a function of (seed, stage, step, group, sample, position of the token in the response): each part is folded
in turn into 64 bits by the finaliser of SplitMix64, and the top 52 bits make a number in [0, 1).  No state is kept, so
a sample gets the same draws whatever else is in the batch, in whichever order it was admitted.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.  Departure: the counter is
the stream's hash plus a multiple of the golden gamma, as in SplitMix64, but streams are chosen by hashing names
instead of by splitting.

Shapes: R streams, N positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from runtime.protocols import DrawKey

_BITS: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_FACTOR_1: Final = 0xBF58476D1CE4E5B9
_FACTOR_2: Final = 0x94D049BB133111EB
_RESOLUTION: Final = 2.0**-52


def group_stream(key: DrawKey) -> int:
    """Return 64 bits that name a group of samples."""
    bits = 0
    for part in (key.seed, key.stage, key.step, key.group):
        bits = mix((bits ^ (part & _BITS)) + _GAMMA)
    return bits


def uniform_draws(
    streams: Sequence[int], samples: Sequence[int], *, num_draws: int, first_draws: Sequence[int] | None = None
) -> Tensor:
    """Return [R, N] float64 in [0, 1): row r belongs to sample `samples[r]` of the group named by `streams[r]`.

    Args:
        first_draws: position of each row's first draw in its stream; 0 unless given.
    """
    stream_R = torch.tensor([_signed(s) for s in streams], dtype=torch.int64)
    sample_R = torch.tensor(samples, dtype=torch.int64)
    stream_R = _mix_in_place((stream_R ^ sample_R) + _signed(_GAMMA))
    first_R1 = torch.tensor(first_draws or [0] * len(streams), dtype=torch.int64)[:, None]
    counter_RN = (first_R1 + torch.arange(1, num_draws + 1, dtype=torch.int64)) * _signed(_GAMMA)
    bits_RN = _mix_in_place(stream_R[:, None] + counter_RN)
    return _shifted(bits_RN, 12).double().mul_(_RESOLUTION)


def mix(bits: int) -> int:
    """Return the SplitMix64 finaliser of 64 bits, a bijection; higher bits are dropped first."""
    bits &= _BITS
    bits = ((bits ^ (bits >> 30)) * _FACTOR_1) & _BITS
    bits = ((bits ^ (bits >> 27)) * _FACTOR_2) & _BITS
    return bits ^ (bits >> 31)


def _mix_in_place(bits: Tensor) -> Tensor:
    bits.bitwise_xor_(_shifted(bits, 30)).mul_(_signed(_FACTOR_1))
    bits.bitwise_xor_(_shifted(bits, 27)).mul_(_signed(_FACTOR_2))
    return bits.bitwise_xor_(_shifted(bits, 31))


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of int64 copies the sign."""
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
