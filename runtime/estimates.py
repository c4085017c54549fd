"""What responses to a prompt say of k of them, and how far the mean over prompts may be off.

All of a prompt's responses are drawn from one distribution, so a metric of k of them is estimated as its mean over all
subsets of k: exactly, without drawing any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """Bounds of a metric that lies between 0 and 1."""

    low: float
    high: float


class Votes(NamedTuple):
    """Responses that give one answer, and the share of them that is right; a reward may judge equal answers apart."""

    count: int
    right: float


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Return the chance that one of k responses is right.

    Source: Chen et al. 2021, "Evaluating large language models trained on code", arXiv:2107.03374, equation 1.

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    subsets = math.comb(num_samples, k)
    return (subsets - math.comb(num_samples - num_right, k)) / subsets


def consensus_at_k(answers: Sequence[Votes], num_silent: int, k: int) -> float:
    """Return the chance that the most frequent answer of k responses is right.

    Of answers that are equally frequent each is chosen with the same chance; a response without an answer has no vote,
    and k of these are wrong.

    Args:
        num_silent: responses without an answer.

    Source: the vote is that of Wang et al. 2022, "Self-consistency improves chain of thought reasoning in language
    models", arXiv:2203.11171.  Subsets are counted by a product of polynomials, one factor for each answer.
    """
    total = math.comb(num_silent + sum(answer.count for answer in answers), k)
    most = min(k, max((answer.count for answer in answers), default=0))
    return math.fsum(_won_with(votes, answers, num_silent, k) for votes in range(1, most + 1)) / total


def _won_with(votes: int, answers: Sequence[Votes], num_silent: int, k: int) -> float:
    """The number of subsets of k whose most frequent answers have so many votes, each times its chance to be right."""
    most_tied = k // votes
    # By the number of responses chosen so far, and of answers that have exactly these votes: how many subsets there
    # are, and what the shares of right ones among the tied answers add up to over them.
    ways = {(min(chosen, k), 0): math.comb(num_silent, chosen) for chosen in range(min(num_silent, k) + 1)}
    rights = dict.fromkeys(ways, 0.0)
    for answer in answers:
        more_ways: dict[tuple[int, int], int] = {}
        more_rights: dict[tuple[int, int], float] = {}
        for (chosen, tied), number in ways.items():
            for taken in range(min(answer.count, votes, k - chosen) + 1):
                wins = taken == votes
                if tied + wins > most_tied:
                    continue
                at, times = (chosen + taken, tied + wins), math.comb(answer.count, taken)
                more_ways[at] = more_ways.get(at, 0) + number * times
                right = rights[chosen, tied] + (answer.right * number if wins else 0.0)
                more_rights[at] = more_rights.get(at, 0.0) + right * times
        ways, rights = more_ways, more_rights
    return math.fsum(right / tied for (chosen, tied), right in rights.items() if chosen == k and tied)


def interval_of_mean(values: Sequence[float], *, draws: int, confidence: float) -> Interval:
    """Return the interval around the mean of values between 0 and 1, one for each prompt.

    Wilson's score interval, in which the number of observations is the one that independent rights and wrongs would
    need for the variance that is seen between prompts; so it is Wilson's own where each value is 0 or 1, and never
    empty, nor outside of 0 to 1.

    Args:
        draws: independent observations that one value is made of; values that happen to be equal count as no more.
        confidence: the share of such intervals that hold the true mean.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212; the effective number is that of Korn and Graubard 1998, Survey
    Methodology 24, 193-201.  That prompts and not responses are what is drawn: Miller 2024, arXiv:2411.00640.
    """
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / count
    most = float(count * draws)
    effective = most if variance == 0 else min(most, count * mean * (1 - mean) / variance)
    return wilson_interval(mean, max(effective, float(count)), confidence=confidence)


def wilson_interval(share: float, count: float, *, confidence: float) -> Interval:
    """Return Wilson's score interval of a share of so many independent observations."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(max(0.0, share * (1 - share)) / count + z * z / (4 * count * count))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
