"""RLC0352 (ALGO-06): who compares by each of several rewards is given several."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes

GDPO: Changes = {"use": '["//recipes:gdpo"]'}
TERMS = '[{ name = "exact" }, { name = "f1" }]'


def test_one_reward_is_refused(tmp_path: Path) -> None:
    assert codes(tmp_path, {**GDPO, "reward.name": '"exact"'}) == ["RLC0352"]


def test_a_sum_of_several_is_fine(tmp_path: Path) -> None:
    assert codes(tmp_path, {**GDPO, "reward.name": '"weighted_sum"', "reward.terms": TERMS}) == []


def test_a_sum_that_is_shaped_is_refused(tmp_path: Path) -> None:
    summed: Changes = {"reward.name": '"weighted_sum"', "reward.terms": TERMS, "reward.shaping.truncated_coef": "0.5"}
    assert codes(tmp_path, {**GDPO, **summed}) == ["RLC0352"]
    assert codes(tmp_path, summed) == []


def test_other_algorithms_take_one(tmp_path: Path) -> None:
    assert codes(tmp_path, {"reward.name": '"exact"'}) == []
