"""Lengths of responses, drawn a group at a time: a byte of a random stream is one response.

A response falls into one of 256 classes of equal probability, which one byte names, so a group of sixteen costs as much
as two numbers.  The last class holds the tail, and a response of it is drawn once more, exactly: the longest response
of a batch decides when it is done.
"""

from __future__ import annotations

from math import exp
from random import Random
from statistics import NormalDist

from compiler.diagnostics.named_tuple import NamedTuple

_CLASSES = 256
_NORMAL = NormalDist()


class LengthTable(NamedTuple):
    """A log-normal distribution that is cut at the longest response, in tokens.

    Args:
        classes: mean length of each class, shortest first.
        scale: median before the cut.
        spread: deviation of the logarithm before the cut.
    """

    classes: tuple[float, ...]
    longest: float
    scale: float
    spread: float


def length_table(mean: float, longest: float, spread: float) -> LengthTable:
    """Return the distribution of a mean, a longest length and a deviation of the logarithm; a spread of 0 has one."""
    if spread <= 0 or mean >= longest:
        return LengthTable((min(mean, longest),) * _CLASSES, min(mean, longest), min(mean, longest), 0.0)
    points = [_NORMAL.inv_cdf((at + 0.5) / (_CLASSES * 8)) for at in range(_CLASSES * 8)]
    low, high = 0.0, longest * 1e3
    for _ in range(60):
        scale = (low + high) / 2
        found = sum(min(longest, scale * exp(spread * point)) for point in points) / len(points)
        low, high = (scale, high) if found < mean else (low, scale)
    sizes = [min(longest, high * exp(spread * point)) for point in points]
    classes = tuple(sum(sizes[at * 8 : at * 8 + 8]) / 8 for at in range(_CLASSES))
    return LengthTable(classes, longest, high, spread)


def draw_group(table: LengthTable, samples: int, random: Random) -> tuple[float, float]:
    """Return the tokens of so many responses together, and of the longest one."""
    classes = table.classes
    if table.spread <= 0:
        return samples * classes[0], classes[0]
    drawn = random.randbytes(samples)
    top = max(drawn)
    if top < _CLASSES - 1:
        return sum(map(classes.__getitem__, drawn)), classes[top]
    tail = drawn.count(_CLASSES - 1)
    lengths = [_beyond(table, (_CLASSES - random.random()) / _CLASSES) for _ in range(tail)]
    body = sum(classes[at] for at in drawn if at < _CLASSES - 1)
    return body + sum(lengths), max(lengths)


def slowest(count: int, spread: float, random: Random) -> float:
    """Return how many times as long as the median the slowest of so many machines takes."""
    if spread <= 0:
        return 1.0
    return exp(spread * _NORMAL.inv_cdf(min(1 - 1e-12, max(1e-300, random.random()) ** (1 / count))))


def _beyond(table: LengthTable, probability: float) -> float:
    point = _NORMAL.inv_cdf(min(1 - 1e-12, probability))
    return min(table.longest, table.scale * exp(table.spread * point))
