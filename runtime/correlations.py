"""How far numbers that a model gives agree with those that it should, and intervals of what has no bounds.

Nothing here is drawn: the intervals are those of formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import NormalDist

from runtime.estimates import Interval


def pearson(found: Sequence[float], wanted: Sequence[float]) -> float:
    """Return the correlation of two lists of the same length, or 0 where one of them is constant and ranks nothing.

    >>> pearson([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    1.0
    """
    count = len(found)
    mean_x, mean_y = math.fsum(found) / count, math.fsum(wanted) / count
    dx, dy = [x - mean_x for x in found], [y - mean_y for y in wanted]
    size = math.sqrt(math.fsum(x * x for x in dx)) * math.sqrt(math.fsum(y * y for y in dy))
    if size == 0.0:
        return 0.0
    return max(-1.0, min(1.0, math.fsum(x * y for x, y in zip(dx, dy, strict=True)) / size))


def spearman(found: Sequence[float], wanted: Sequence[float]) -> float:
    """Return the correlation of ranks; equal numbers share the mean of their ranks.

    >>> spearman([1.0, 2.0, 4.0], [1.0, 10.0, 100.0])
    1.0
    """
    return pearson(_ranks(found), _ranks(wanted))


def interval_of_pearson(value: float, count: int, *, confidence: float) -> Interval:
    """Return Fisher's interval of a correlation of so many pairs of numbers; of fewer than four it says nothing.

    Source: Fisher 1921, Metron 1, 3-32: atanh(r) has the variance 1 / (n - 3).
    """
    return _fisher(value, count, variance=1.0, confidence=confidence)


def interval_of_spearman(value: float, count: int, *, confidence: float) -> Interval:
    """Return the interval of a correlation of ranks.

    Source: Bonett and Wright 2000, Psychometrika 65, 23-28: atanh(r) has the variance (1 + r^2 / 2) / (n - 3).
    """
    return _fisher(value, count, variance=1.0 + value * value / 2.0, confidence=confidence)


def interval_of_any_mean(values: Sequence[float], *, confidence: float, least: float = -math.inf) -> Interval:
    """Return the normal interval around the mean of numbers of at least `least`; of one number it is that number."""
    count = len(values)
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1))
    half = NormalDist().inv_cdf((1 + confidence) / 2) * spread / math.sqrt(count)
    return Interval(max(least, mean - half), mean + half)


def _fisher(value: float, count: int, *, variance: float, confidence: float) -> Interval:
    if count < 4:
        return Interval(-1.0, 1.0)
    if abs(value) == 1.0:
        return Interval(value, value)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance / (count - 3))
    return Interval(math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    for _, same in groupby(order, key=values.__getitem__):
        at = list(same)
        for i in at:
            found[i] = start + (len(at) - 1) / 2.0
        start += len(at)
    return found
