"""The distribution of response lengths: its mean, its limit, and its tail."""

from __future__ import annotations

from math import exp

import pytest

from compiler.planner.time.lengths import Lengths, classes_of, expected_lengths, expected_maximum, variation_of


@pytest.mark.parametrize(("mean", "longest"), [(100.0, 4096.0), (1000.0, 4096.0), (3200.0, 4096.0), (4096.0, 4096.0)])
@pytest.mark.parametrize("samples", [8.0, 512.0, 100_000.0])
def test_classes_have_exactly_the_mean_and_none_is_longer_than_allowed(
    mean: float, longest: float, samples: float
) -> None:
    found = classes_of(Lengths(mean, longest), samples)
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert sum(one.share * one.tokens for one in found) == pytest.approx(mean)
    assert max(one.tokens for one in found) <= longest * (1 + 1e-12)


def test_half_of_the_responses_are_below_the_median_of_a_log_normal_distribution() -> None:
    """Without a cut: a mean of m has its median at m x exp(-s^2 / 2)."""
    found = classes_of(Lengths(1000.0, 1e9, spread=0.5), 10_000.0)
    median = 1000 * exp(-(0.5**2) / 2)
    below = sum(one.share for one in found if one.tokens < median)
    assert below == pytest.approx(0.5, abs=0.03)


def test_the_last_class_is_about_one_response() -> None:
    found = classes_of(Lengths(1000.0, 1e9), 1024.0)
    assert 0.5 <= found[-1].share * 1024 <= 2


def test_a_percentile_sets_the_tail() -> None:
    """The p90 of what comes out is the p90 that went in."""
    lengths = expected_lengths(1e6, 1000.0, 2000.0)
    found = classes_of(lengths, 100_000.0)
    at_most = sum(one.share for one in found if one.tokens <= 2000)
    assert at_most == pytest.approx(0.9, abs=0.03)


def test_without_a_word_the_mean_is_half_of_the_limit() -> None:
    assert expected_lengths(4096.0) == Lengths(2048.0, 4096.0)


@pytest.mark.parametrize(("count", "mean"), [(1, 0.0), (2, 0.5642), (8, 1.4236), (64, 2.3437)])
def test_the_mean_of_the_largest_of_so_many_normal_numbers(count: int, mean: float) -> None:
    """Tables of order statistics (Harter, 1961), to one percent for a few."""
    assert expected_maximum(count) == pytest.approx(mean, abs=0.03)


def test_lengths_vary_as_a_log_normal_distribution_does() -> None:
    """Without a cut: the deviation over the mean is sqrt(exp(s^2) - 1); the classes lose some of the far tail."""
    assert variation_of(classes_of(Lengths(1000.0, 1e9, spread=0.5), 1e5)) == pytest.approx(0.5329, rel=0.02)
