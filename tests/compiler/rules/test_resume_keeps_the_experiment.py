"""RLC0312 (CKPT-01): a run is continued by a plan that differs only in what may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.plan import Plan
from compiler.rules.resume_keeps_the_experiment import check_resume
from tests.support.good_spec import Changes, compiled


def plan_of(folder: Path, changes: Changes) -> Plan:
    plan = compiled(folder, changes).plan
    assert plan is not None
    return plan


def found_on_resume(folder: Path, before: Changes, after: Changes) -> list[Diagnostic]:
    return list(check_resume(plan_of(folder, before), plan_of(folder, after), where="runs/case"))


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"run.max_steps": "20"},
        {"checkpoint.interval": "5"},
        {"reward.timeout_s": '"2m"'},
        {"log.tensorboard": "false"},
    ],
)
def test_how_long_how_often_and_how_it_is_logged_may_change(tmp_path: Path, after: Changes) -> None:
    assert found_on_resume(tmp_path, {}, after) == []


@pytest.mark.parametrize(
    ("after", "path"),
    [
        ({"optim.lr": "1e-3"}, "stages.0.optim.lr"),
        ({"run.seed": "1"}, "run.seed"),
        ({"rollout.sampling.temperature": "0.9"}, "stages.0.rollout.sampling.temperature"),
        ({"loss.reduction": '"sequence"'}, "stages.0.loss.reduction"),
        ({"data.train": '[{ path = "other.jsonl" }]'}, "stages.0.data.train.0.path"),
        ({"data.train": '[{ path = "train.jsonl" }, { path = "more.jsonl" }]'}, "stages.0.data.train.1.path"),
        ({"model.hidden_size": "256"}, "model.hidden_size"),
    ],
)
def test_what_decides_the_weights_may_not_change(tmp_path: Path, after: Changes, path: str) -> None:
    (found,) = found_on_resume(tmp_path, {}, after)
    assert (found.code, found.rule) == ("RLC0312", "CKPT-01")
    assert path in found.paths


def test_both_values_are_shown(tmp_path: Path) -> None:
    (found,) = found_on_resume(tmp_path, {"optim.lr": "3e-4"}, {"optim.lr": "1e-3"})
    assert found.message == "runs/case was started by another experiment: 1 field(s) differ that must not change"
    assert found.help[0].text == "optim.lr: 0.0003 in the run, 0.001 now"


def test_more_steps_stretch_a_decay_and_a_warning_says_so(tmp_path: Path) -> None:
    decaying: Changes = {"optim.schedule": '"linear"'}
    (found,) = found_on_resume(tmp_path, decaying, {**decaying, "run.max_steps": "20"})
    assert (found.code, found.severity, found.paths) == ("RLC0312", "warning", ("stages.0.optim.total_steps",))
    assert found.message.startswith("optim.total_steps is 20 instead of 10: the linear decay ends there")
