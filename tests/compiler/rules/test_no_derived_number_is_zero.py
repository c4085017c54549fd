"""RLC0303 (BATCH-04): a count that would be less than one is no count."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import codes, messages


def test_one_step_is_a_step_and_a_fraction_of_one_is_none(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": "32"}) == []
    assert codes(tmp_path, {"train.global_batch": "33"}) == ["RLC0303"]


def test_a_horizon_shorter_than_one_rollout_is_refused(tmp_path: Path) -> None:
    assert codes(tmp_path, {"run.max_steps": None, "optim.total_steps": "4", "train.global_batch": "8"}) == []
    assert codes(tmp_path, {"run.max_steps": None, "optim.total_steps": "3", "train.global_batch": "8"}) == ["RLC0303"]


def test_the_fraction_is_said(tmp_path: Path) -> None:
    said = messages(tmp_path, {"train.global_batch": "256"})
    assert said == ["train.steps_per_rollout would be 1/8, which other tools round to 0"]
