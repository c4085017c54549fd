"""RLC0538 (LIVE-02): a bound of staleness as long as the stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes

ASYNC: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}


@pytest.mark.parametrize(("steps", "lag", "says"), [(3, 2, []), (2, 2, ["RLC0538"]), (1, 1, ["RLC0538"])])
def test_there_are_more_steps_than_the_bound(tmp_path: Path, steps: int, lag: int, says: list[str]) -> None:
    changes: Changes = {**ASYNC, "run.max_steps": str(steps), "schedule.max_staleness": str(lag)}
    assert codes(tmp_path, changes, base=GPU) == says


def test_a_loop_that_waits_has_no_bound(tmp_path: Path) -> None:
    assert codes(tmp_path, {"run.max_steps": "1"}, base=GPU) == []


@pytest.mark.parametrize(("steps", "says"), [(2, []), (1, ["RLC0538"])])
def test_a_loop_that_is_one_step_off_has_two_steps(tmp_path: Path, steps: int, says: list[str]) -> None:
    changes: Changes = {**ASYNC, "schedule.mode": '"one_step_off"', "run.max_steps": str(steps)}
    assert codes(tmp_path, changes, base=GPU) == says
