"""Time limits follow from what is predicted, and belong to nobody's identity."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.planner.waits import predicted_waits
from rlc.catalogue import load_hardware
from tests.support.good_spec import GPU, RECOMPUTED, SFT, Changes, compiled

SLOW: Changes = {**RECOMPUTED, "rollout.max_response_tokens": '"16Ki"', "rollout.max_prompt_tokens": '"1Ki"'}


def _plan(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> Plan:
    found = compiled(folder, changes, base=base)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def test_a_limit_is_the_factor_times_the_prediction_and_no_less_than_the_least(tmp_path: Path) -> None:
    plan = _plan(tmp_path, {**SLOW, "timeouts.factor": "3.0", "timeouts.least_s": "90.0"})
    waits = predicted_waits(plan.experiment, plan.experiment.stages[0], load_hardware()["H100-80-SXM"])
    for wait, seconds in zip(waits._fields, waits, strict=True):
        assert seconds is not None
        assert plan.experiment.timeouts.__dict__[f"{wait}_s"] == round(max(90.0, 3.0 * seconds))


def test_limits_are_no_part_of_the_hash_and_may_change_on_resume(tmp_path: Path) -> None:
    assert _plan(tmp_path, {}).hash == _plan(tmp_path, {"timeouts.generation_s": "9000.0"}).hash


def test_a_step_on_data_has_an_hour(tmp_path: Path) -> None:
    of_gpus: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster."))}
    plan = _plan(tmp_path, {**of_gpus, "train.precision": '"bf16"'}, base=SFT)
    assert plan.experiment.timeouts.__dict__["train_step_s"] == 3600.0


def test_limits_of_one_process_do_not_exist(tmp_path: Path) -> None:
    assert isinstance(_plan(tmp_path, {}, base=SFT).experiment.timeouts, Off)
