"""RLC0534 (LIVE-03): a weight update of several optimizer steps makes samples older than the bound says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, compiled

ASYNC: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}


def told(folder: Path, changes: Changes) -> list[str]:
    return [d.message for d in compiled(folder, changes, base=GPU).diagnostics if d.code == "RLC0534"]


@pytest.mark.parametrize(
    ("lag", "batch", "begin", "end"), [("1", "64", "4", "7"), ("2", "128", "4", "5"), ("3", "64", "12", "15")]
)
def test_the_age_of_samples_is_printed(tmp_path: Path, lag: str, batch: str, begin: str, end: str) -> None:
    """Lag x steps when training on a rollout begins, and one less than a rollout's steps more when it ends."""
    (message,) = told(tmp_path, {**ASYNC, "schedule.max_staleness": lag, "train.global_batch": batch})
    assert f"{begin} optimizer steps behind when training on them begins, and {end} when it ends" in message


def test_one_step_on_each_rollout_is_what_the_bound_says(tmp_path: Path) -> None:
    assert told(tmp_path, ASYNC) == []


def test_a_synchronous_loop_has_no_lag(tmp_path: Path) -> None:
    assert told(tmp_path, {"train.global_batch": "64"}) == []
