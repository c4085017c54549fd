"""Filters of groups, on rewards of a few samples."""

from __future__ import annotations

import pytest

from stdlib.filters import mean_within, nonzero_std


@pytest.mark.parametrize(
    ("rewards", "kept"), [([0.0, 0.0, 0.0], False), ([1.0, 1.0], False), ([0.0, 1.0, 1.0], True), ([0.5], False)]
)
def test_groups_of_equal_rewards_are_left_out(rewards: list[float], kept: bool) -> None:
    assert nonzero_std.keeps(rewards) is kept


@pytest.mark.parametrize(
    ("rewards", "kept"),
    [
        ([0.0, 0.0, 0.0, 0.0], False),
        ([1.0, 0.0, 0.0, 0.0], True),
        ([1.0, 1.0, 1.0, 0.0], True),
        ([1.0, 1.0, 1.0, 1.0], False),
        ([0.24, 0.24], False),
        ([0.5, 0.5], True),
    ],
)
def test_groups_between_the_bounds_are_kept_and_both_bounds_are_inside(rewards: list[float], kept: bool) -> None:
    assert mean_within.keeps(rewards, low=0.25, high=0.75) is kept
