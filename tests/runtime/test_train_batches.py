"""What counts as a right response."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.train_batches import is_right
from tests.support.judged import sample

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("reward", "raw_reward", "has_failed", "expected"),
    [(1.0, 1.0, False, True), (0.2, 1.0, False, True), (1.0, 0.9, False, False), (1.0, 1.0, True, False)],
)
def test_right_is_what_was_judged_and_reaches_the_bound_before_shaping(
    reward: float, raw_reward: float, has_failed: bool, expected: bool
) -> None:
    judged = replace(sample("7"), reward=reward, raw_reward=raw_reward, has_failed=has_failed)
    assert is_right(judged, 1.0) is expected
