"""How long responses are: a distribution with a long tail, cut at the longest that is allowed.

A few long responses decide when a batch is done, so the mean alone says little.  Lengths are log-normal (reasoning
models: a ninety-ninth percentile of ten times the median, arXiv:2510.12633, is a deviation of the logarithm of 1), and
those beyond the limit are as long as it.  Where a spec does not say what it expects, the mean is half of the limit:
what is published lies between 0.24 and 0.78 of it (checks/planner/measured/response_lengths.csv).
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, log, pi, sqrt

from compiler.diagnostics.named_tuple import NamedTuple

MEAN_FRAC = 0.5
SPREAD = 1.0
_LEAST_SPREAD = 0.05
_P90 = 1.2815515655446004  # of a normal distribution
_BODY = 24  # classes of equal weight, the last of which is halved again and again
_HALVINGS = 14


class Lengths(NamedTuple):
    """Lengths of responses, in tokens: their mean, the longest, and the deviation of the logarithm before the cut."""

    mean: float
    longest: float
    spread: float = SPREAD


class Class(NamedTuple):
    """Responses of one length: how many of all, and of how many tokens."""

    share: float
    tokens: float


def expected_lengths(longest: float, mean: float | None = None, p90: float | None = None) -> Lengths:
    """Return the distribution of which these are known; a percentile at the limit says nothing of the tail."""
    mean = longest * MEAN_FRAC if mean is None else min(mean, longest)
    if p90 is None or p90 >= longest:
        return Lengths(mean, longest)
    room = _P90**2 - 2 * log(max(1.0, p90 / mean))
    return Lengths(mean, longest, max(_LEAST_SPREAD, _P90 - sqrt(max(0.0, room))))


@lru_cache(maxsize=256)  # a search asks for the same ones of thousands of layouts
def classes_of(lengths: Lengths, samples: float) -> tuple[Class, ...]:
    """Return the lengths of so many responses, shortest first, of exactly the mean.

    The last class of the body is halved until it is one response.
    """
    halvings = max(1, min(_HALVINGS, round(log(max(2.0, samples / _BODY), 2))))
    shares = [*[1 / _BODY] * (_BODY - 1), *[0.5**n / _BODY for n in range(1, halvings + 1)], 0.5**halvings / _BODY]
    points = (*_POINTS, *_TAIL[:halvings], _ENDS[halvings - 1])
    sizes = [exp(lengths.spread * point) for point in points]
    scale = _scale(shares, sizes, lengths)
    return tuple(Class(share, min(lengths.longest, scale * size)) for share, size in zip(shares, sizes, strict=True))


def variation_of(classes: tuple[Class, ...]) -> float:
    """Return the deviation of lengths over their mean."""
    mean = sum(one.share * one.tokens for one in classes)
    square = sum(one.share * one.tokens**2 for one in classes)
    return sqrt(max(0.0, square / mean**2 - 1)) if mean else 0.0


def expected_maximum(count: float) -> float:
    """Return the mean of the largest of so many standard normal numbers.  Source: Blom, 1958."""
    return _normal_point(0.625 / (count + 0.25)) if count > 1 else 0.0


def _scale(shares: list[float], sizes: list[float], lengths: Lengths) -> float:
    """What sizes are multiplied by, so that cut at the longest they have the mean."""
    rest = sum(share * size for share, size in zip(shares, sizes, strict=True))
    cut = 0.0
    for share, size in zip(reversed(shares), reversed(sizes), strict=True):
        scale = (lengths.mean - cut) / rest if rest > 0 else 0.0
        if scale * size <= lengths.longest:
            return max(scale, 0.0)
        rest -= share * size
        cut += share * lengths.longest
    return lengths.longest / sizes[0]


def _normal_point(beyond: float) -> float:
    """The point beyond which this share of a normal distribution lies.

    Source: Abramowitz and Stegun, 26.2.22, and two steps of Newton's method.
    """
    if beyond > 0.5:
        return -_normal_point(1 - beyond)
    root = sqrt(-2 * log(beyond))
    point = root - (2.30753 + 0.27061 * root) / (1 + 0.99229 * root + 0.04481 * root * root)
    for _ in range(2):
        point += (erfc(point / sqrt(2)) / 2 - beyond) / (exp(-point * point / 2) / sqrt(2 * pi))
    return point


_POINTS = tuple(_normal_point(1 - (index + 0.5) / _BODY) for index in range(_BODY - 1))
_TAIL = tuple(_normal_point(1.5 * 0.5**n / _BODY) for n in range(1, _HALVINGS + 1))  # of each half of what is left
_ENDS = tuple(_normal_point(0.5 * 0.5**n / _BODY) for n in range(1, _HALVINGS + 1))  # of the rest behind it
