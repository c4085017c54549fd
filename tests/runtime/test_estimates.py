"""Metrics of k responses against enumeration of all subsets, intervals against published figures."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.estimates import Votes, consensus_at_k, interval_of_mean, pass_at_k, wilson_interval


@pytest.mark.parametrize("num_samples", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(num_samples: int) -> None:
    for num_right in range(num_samples + 1):
        right = [True] * num_right + [False] * (num_samples - num_right)
        for k in range(1, num_samples + 1):
            subsets = list(combinations(right, k))
            assert pass_at_k(num_samples, num_right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_of_large_numbers_is_the_product_of_chen_and_others() -> None:
    product = math.prod(1 - 100 / i for i in range(200 - 17 + 1, 200 + 1))
    assert pass_at_k(200, 17, 100) == pytest.approx(1 - product, rel=1e-12)


@given(given_=st.lists(st.sampled_from("abcd-"), min_size=1, max_size=8), data=st.data())
def test_consensus_is_the_share_of_subsets_whose_vote_is_right(given_: list[str], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(given_)))
    shares = {answer: data.draw(st.sampled_from((0.0, 0.5, 1.0))) for answer in "abcd"}
    expected = 0.0
    subsets = list(combinations(given_, k))
    for subset in subsets:
        counts = Counter(answer for answer in subset if answer != "-")
        tied = [answer for answer, count in counts.items() if count == max(counts.values())]
        expected += sum(shares[answer] for answer in tied) / len(tied) if tied else 0.0
    answers = [Votes(count, shares[answer]) for answer, count in Counter(given_).items() if answer != "-"]
    assert consensus_at_k(answers, given_.count("-"), k) == pytest.approx(expected / len(subsets))


def test_a_tie_is_decided_by_chance_and_silence_is_wrong() -> None:
    assert consensus_at_k([Votes(1, 1.0), Votes(1, 0.0)], 0, 2) == 0.5
    assert consensus_at_k([Votes(1, 1.0)], 3, 4) == 1.0
    assert consensus_at_k([], 3, 2) == 0.0


def test_sixty_four_different_answers_are_counted() -> None:
    answers = [Votes(1, float(i < 16)) for i in range(64)]
    assert consensus_at_k(answers, 0, 32) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_an_interval_of_rights_and_wrongs_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    values = [1.0] * right + [0.0] * (count - right)
    found = interval_of_mean(values, draws=1, confidence=0.95)
    assert found == pytest.approx((low, high), abs=5e-5)
    assert found == pytest.approx(wilson_interval(right / count, count, confidence=0.95))


def test_values_that_vary_less_than_rights_and_wrongs_have_a_narrower_interval() -> None:
    # Variance 1/16 where rights and wrongs have 1/4: as many as four times the prompts.
    found = interval_of_mean([0.25, 0.75] * 10, draws=8, confidence=0.95)
    assert found == pytest.approx(wilson_interval(0.5, 80, confidence=0.95))


def test_equal_values_count_as_no_more_than_their_draws() -> None:
    assert interval_of_mean([0.5] * 10, draws=4, confidence=0.9) == wilson_interval(0.5, 40, confidence=0.9)
    assert interval_of_mean([1.0] * 10, draws=4, confidence=0.9) == wilson_interval(1.0, 40, confidence=0.9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 64), st.floats(0.5, 0.999))
def test_an_interval_holds_its_mean(values: list[float], draws: int, confidence: float) -> None:
    low, high = interval_of_mean(values, draws=draws, confidence=confidence)
    mean = math.fsum(values) / len(values)
    assert 0 <= low < high <= 1
    assert low - 1e-12 <= mean <= high + 1e-12


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    # 40 prompts, each right with a chance of its own, four responses each, on a fixed lattice of draws.
    draw = random.Random(5)
    held = 0
    for _ in range(1000):
        chances = [draw.betavariate(0.6, 0.9) for _ in range(40)]
        values = [sum(draw.random() < chance for _ in range(4)) / 4 for chance in chances]
        low, high = interval_of_mean(values, draws=4, confidence=0.95)
        held += low <= 0.4 <= high
    assert 925 <= held <= 985
