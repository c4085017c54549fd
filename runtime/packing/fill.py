"""How well micro-batches are filled, and how evenly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import stdev
from typing import NamedTuple


class Fill(NamedTuple):
    """Figures of one cut, each 1 at best.

    utilization: tokens over what all micro-batches together could hold.
    efficiency: the fewest micro-batches that the tokens could be in, over those that there are.
    evenness: 1 less the sample deviation of the loads over their mean.
    """

    utilization: float
    efficiency: float
    evenness: float


def fill_of(micro_batches: Iterable[Sequence[int]], lengths: Sequence[int], *, max_tokens: int) -> Fill:
    """Return how full and even micro-batches are.  Raises: ValueError if there are none, or no tokens."""
    loads = [sum(lengths[i] for i in part) for part in micro_batches]
    total = sum(loads)
    if total == 0:
        raise ValueError("nothing is filled without tokens")
    return Fill(
        utilization=total / (len(loads) * max_tokens),
        efficiency=-(-total // max_tokens) / len(loads),
        evenness=1.0 - stdev(loads) / (total / len(loads)) if len(loads) > 1 else 1.0,
    )
