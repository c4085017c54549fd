"""RLC0351 (ALGO-02): there is something between a lower and an upper bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes

RECOMPUTED = {"loss.old_logprobs": '"recompute"'}
PAIRS: list[tuple[dict[str, str], str, str]] = [
    ({"loss.mismatch.bound": '"mask"'}, "loss.mismatch.low", "loss.mismatch.high"),
    ({"loss.rejection.level": '"geometric"'}, "loss.rejection.low", "loss.rejection.high"),
    ({}, "algo.advantage_low", "algo.advantage_high"),
]


@pytest.mark.parametrize(("further", "low", "high"), PAIRS)
def test_bounds_that_cross_are_refused(tmp_path: Path, further: dict[str, str], low: str, high: str) -> None:
    assert codes(tmp_path, {**RECOMPUTED, **further, low: "1.5", high: "0.5"}) == ["RLC0351"]


@pytest.mark.parametrize(("further", "low", "high"), PAIRS)
def test_bounds_in_order_are_fine(tmp_path: Path, further: dict[str, str], low: str, high: str) -> None:
    assert codes(tmp_path, {**RECOMPUTED, **further, low: "0.5", high: "1.5"}) == []


FALLING = {"optim.schedule": '"cosine"', "optim.lr": "1e-4"}
PPO = {"use": '["//recipes:ppo"]', "run.max_steps": "20", **FALLING}


@pytest.mark.parametrize(("lowest", "expected"), [("1e-4", []), ("2e-4", ["RLC0351"])])
def test_a_rate_that_falls_ends_below_its_beginning(tmp_path: Path, lowest: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**FALLING, "optim.min_lr": lowest}) == expected


@pytest.mark.parametrize(("critic", "expected"), [("5e-5", []), ("4e-5", ["RLC0351"])])
def test_so_does_that_of_a_critic(tmp_path: Path, critic: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**PPO, "optim.min_lr": "5e-5", "critic.lr": critic}) == expected


def test_one_bound_alone_is_fine(tmp_path: Path) -> None:
    assert codes(tmp_path, {"algo.advantage_low": "-1.0"}) == []
