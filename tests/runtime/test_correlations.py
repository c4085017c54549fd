"""Correlations and their intervals against numpy, and against what is known of draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime.correlations import (
    interval_of_any_mean,
    interval_of_pearson,
    interval_of_spearman,
    pearson,
    spearman,
)

pytestmark = pytest.mark.torch

X = [0.3, -1.2, 2.5, 0.0, 4.1, 0.3]
Y = [1.0, 0.5, 2.0, 1.5, 1.9, 0.2]


def test_a_correlation_is_that_of_numpy() -> None:
    assert pearson(X, Y) == pytest.approx(np.corrcoef(X, Y)[0, 1])


def test_equal_numbers_share_the_mean_of_their_ranks() -> None:
    ranks = [3.5, 1.0, 5.0, 2.0, 6.0, 3.5]
    others = [3.0, 2.0, 6.0, 4.0, 5.0, 1.0]
    assert spearman(X, Y) == pytest.approx(np.corrcoef(ranks, others)[0, 1])


def test_ranks_see_only_the_order() -> None:
    assert spearman([math.exp(x) for x in X], Y) == pytest.approx(spearman(X, Y))
    assert spearman(X, [-y for y in Y]) == pytest.approx(-spearman(X, Y))


@pytest.mark.parametrize("values", [[0.0] * 6, [1e300] * 6])
def test_constant_numbers_rank_nothing(values: list[float]) -> None:
    assert (pearson(values, Y), spearman(values, Y)) == (0.0, 0.0)


def test_the_interval_of_a_correlation_is_fishers() -> None:
    # Of r = 0.5 and n = 28: atanh(0.5) +- 1.96 / 5.
    found = interval_of_pearson(0.5, 28, confidence=0.95)
    assert found == pytest.approx((math.tanh(0.5493061 - 0.3919928), math.tanh(0.5493061 + 0.3919928)), abs=1e-6)
    wider = interval_of_spearman(0.5, 28, confidence=0.95)
    assert wider.low < found.low
    assert found.high < wider.high


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_fewer_than_four_nothing_is_known(count: int) -> None:
    assert interval_of_pearson(0.9, count, confidence=0.95) == (-1.0, 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw = np.random.default_rng(7)
    held = np.zeros(3)
    for _ in range(400):
        x = draw.normal(size=60)
        y = 0.6 * x + 0.8 * draw.normal(size=60)
        r, s = pearson(x.tolist(), y.tolist()), spearman(x.tolist(), y.tolist())
        truths = (0.6, 6 / math.pi * math.asin(0.3), 0.0)
        intervals = (
            interval_of_pearson(r, 60, confidence=0.9),
            interval_of_spearman(s, 60, confidence=0.9),
            interval_of_any_mean(y.tolist(), confidence=0.9),
        )
        held += [low <= truth <= high for truth, (low, high) in zip(truths, intervals, strict=True)]
    assert all(0.85 < share < 0.95 for share in held / 400)


def test_an_interval_ends_where_numbers_do() -> None:
    assert interval_of_any_mean([0.0, 0.0, 1.0], confidence=0.95, least=0.0).low == 0.0
    assert interval_of_any_mean([2.0], confidence=0.95) == (2.0, 2.0)
