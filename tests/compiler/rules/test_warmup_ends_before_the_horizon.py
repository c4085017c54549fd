"""RLC0306 (BATCH-09): the horizon is counted in optimizer steps, and the warm-up ends before it."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import SFT, codes, compiled, messages


def test_the_warm_up_may_take_all_steps_but_one(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": "8", "optim.warmup_steps": "39"}) == []
    assert codes(tmp_path, {"train.global_batch": "8", "optim.warmup_steps": "40"}) == ["RLC0306"]


def test_the_horizon_is_rollouts_times_steps(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"train.global_batch": "8"}).plan
    assert plan is not None
    assert plan.experiment.stages[0].optim.total_steps == 10 * 4
    assert codes(tmp_path, {"train.global_batch": "8", "optim.total_steps": "40"}) == []
    assert codes(tmp_path, {"train.global_batch": "8", "optim.total_steps": "10"}) == ["RLC0306"]


def test_in_a_stage_that_does_not_sample_steps_are_optimizer_steps(tmp_path: Path) -> None:
    assert codes(tmp_path, {"optim.total_steps": "10"}, base=SFT) == []
    assert codes(tmp_path, {"optim.total_steps": "40"}, base=SFT) == ["RLC0306"]


def test_no_fix_breaks_the_batch_identity(tmp_path: Path) -> None:
    (found,) = compiled(tmp_path, {"train.global_batch": "8", "optim.total_steps": "10"}).diagnostics
    assert [path for way in found.help for path, _ in way.sets] == ["optim.total_steps"]


def test_a_number_of_rollouts_that_is_no_whole_one_is_said(tmp_path: Path) -> None:
    said = messages(tmp_path, {"run.max_steps": None, "optim.total_steps": "10", "train.global_batch": "8"})
    assert said == ["no whole number of run.max_steps gives the horizon of the schedule: it would be 5/2"]
