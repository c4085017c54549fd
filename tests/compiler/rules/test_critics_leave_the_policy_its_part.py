"""RLC0355 (ALGO-07): the policy is trained beside its critic, and every lambda is read by one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

PPO: Changes = {"use": '["//recipes:ppo"]', "run.max_steps": "20"}


@pytest.mark.parametrize(("rollouts", "expected"), [("19", []), ("20", ["RLC0355"]), ("100000", ["RLC0355"])])
def test_a_warm_up_ends_before_the_stage(tmp_path: Path, rollouts: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**PPO, "critic.warmup_rollouts": rollouts}) == expected


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, []),
        ({"algo.length_adaptive": "0.05"}, []),
        ({"algo.critic_lam": "1.0"}, []),
        ({"algo.length_adaptive": "0.05", "algo.critic_lam": "1.0"}, ["RLC0355"]),
    ],
)
def test_a_lambda_that_is_set_is_read(tmp_path: Path, others: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, {**PPO, "algo.lam": "0.9", **others}) == expected
