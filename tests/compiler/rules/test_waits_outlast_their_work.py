"""RLC0418 (LIVE-05): a time limit is no shorter than what is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, compiled

WAITS = ("placement", "weight_load", "generation", "train_step", "weight_sync", "checkpoint")


@pytest.mark.parametrize("wait", WAITS)
def test_a_limit_of_a_hundredth_of_a_second_is_too_short_for_anything(tmp_path: Path, wait: str) -> None:
    assert codes(tmp_path, {f"timeouts.{wait}_s": "0.01"}, base=GPU) == ["RLC0418"]


@pytest.mark.parametrize("wait", WAITS)
def test_the_fix_is_long_enough_and_what_would_have_been_derived(tmp_path: Path, wait: str) -> None:
    field = f"timeouts.{wait}_s"
    found = compiled(tmp_path, {field: "0.01"}, base=GPU).diagnostics
    (sets,) = [way.sets for way in found[0].help if way.sets]
    mended, derived = _limits(tmp_path, dict(sets)), _limits(tmp_path, {})
    assert mended.keys() == derived.keys()
    assert all(abs(mended[name] - derived[name]) <= (name == field.removeprefix("timeouts.")) for name in mended)


def _limits(folder: Path, changes: Changes) -> dict[str, float]:
    plan = compiled(folder, changes, base=GPU).plan
    assert plan is not None
    return plan.experiment.timeouts.__dict__


def test_a_limit_that_nothing_is_predicted_for_is_anybodys_own(tmp_path: Path) -> None:
    assert codes(tmp_path, {"timeouts.generation_s": "1e6", "timeouts.factor": "1.1"}, base=GPU) == []


def test_a_plan_of_one_process_has_no_such_waits(tmp_path: Path) -> None:
    changes: Changes = {"timeouts.generation_s": "60.0"}
    assert codes(tmp_path, changes) == ["RLC0202"]
