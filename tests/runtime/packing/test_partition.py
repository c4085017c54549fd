"""Partitions by differencing: the textbook case, exactness, and the spread it is bound to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.packing.bins import Bins
from runtime.packing.partition import karmarkar_karp

COSTS = st.lists(st.integers(0, 1000), max_size=80)


def spread(costs: list[int], parts: Bins) -> int:
    sums = [sum(costs[i] for i in part) for part in parts]
    return max(sums) - min(sums)


def greedy(costs: list[int], num_parts: int) -> Bins:
    """The largest cost to the lightest part."""
    parts: Bins = [[] for _ in range(num_parts)]
    sums = [0] * num_parts
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        at = sums.index(min(sums))
        parts[at].append(i)
        sums[at] += costs[i]
    return parts


def test_the_textbook_case_ends_two_apart() -> None:
    # 8, 7, 6, 5, 4: differencing finds 16 and 14, where 15 and 15 was possible and the greedy way finds 17 and 13
    costs = [8, 7, 6, 5, 4]
    assert sorted(karmarkar_karp(costs, num_parts=2)) == [[0, 2], [1, 3, 4]]
    assert spread(costs, greedy(costs, 2)) == 4


@given(COSTS, st.integers(1, 12))
def test_every_cost_is_in_one_part_and_parts_differ_by_one_cost_at_most(costs: list[int], num_parts: int) -> None:
    parts = karmarkar_karp(costs, num_parts=num_parts)
    assert len(parts) == num_parts
    assert sorted(i for part in parts for i in part) == list(range(len(costs)))
    assert all(part == sorted(part) for part in parts)
    assert spread(costs, parts) <= max(costs, default=0)
    assert parts == karmarkar_karp(costs, num_parts=num_parts)


@given(st.integers(1, 10), st.integers(0, 8), st.data())
def test_equal_counts_are_equal_and_parts_still_differ_by_one_cost_at_most(
    num_parts: int, each: int, data: st.DataObject
) -> None:
    size = num_parts * each
    costs = data.draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size))
    parts = karmarkar_karp(costs, num_parts=num_parts, equal_counts=True)
    assert [len(part) for part in parts] == [each] * num_parts
    assert sorted(i for part in parts for i in part) == list(range(size))
    assert spread(costs, parts) <= max(costs, default=0)


@pytest.mark.parametrize("num_parts", [2, 8, 32])
def test_lengths_of_responses_are_spread_less_than_by_the_greedy_way(num_parts: int) -> None:
    draw = random.Random(num_parts)
    costs = [1 + int(draw.lognormvariate(7.0, 1.0)) for _ in range(40 * num_parts)]
    assert spread(costs, karmarkar_karp(costs, num_parts=num_parts)) < spread(costs, greedy(costs, num_parts))


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        karmarkar_karp([1], num_parts=0)
    with pytest.raises(ValueError, match="5 costs cannot be divided into 2 parts"):
        karmarkar_karp([1] * 5, num_parts=2, equal_counts=True)
