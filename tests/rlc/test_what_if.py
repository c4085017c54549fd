"""`rlc plan SPEC --what-if PATH=VALUE`: two plans side by side, each difference with what it follows from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.tree import ROOT
from rlc.cli.main import main
from rlc.what_if import without_replaced
from tests.compiler.emit.plan_specs import ONE_STAGE, TWO_STAGES

Captured = pytest.CaptureFixture[str]
Golden = Callable[[str, str], None]

ASYNC = "experiments/grpo_qwen3_8b_async.toml"
H200 = 'cluster.gpus_per_node="8xH200-141-SXM"'


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(ONE_STAGE)
    return "spec.toml"


@pytest.fixture
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def plan(*words: str) -> int:
    return main(["--ascii", "plan", *words])


def as_json(capsys: Captured, *words: str) -> dict[str, Any]:
    assert plan(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("_project")
def test_two_plans_stand_side_by_side(capsys: Captured, golden: Golden) -> None:
    assert plan(ASYNC, "--what-if", H200, "--what-if", "parallel.tp=4") == 0
    golden("what_if/gpus_and_axes.txt", capsys.readouterr().out)


@pytest.mark.usefixtures("_project")
def test_memory_of_the_gpu_and_of_each_phase_is_told_with_its_ratio(capsys: Captured) -> None:
    found = as_json(capsys, ASYNC, "--what-if", H200, "--what-if", "rollout.max_response_tokens=16Ki")
    amounts = {(one["group"], one["name"]): one for one in found["amounts"]}
    memory = amounts["a GPU", "memory"]
    assert memory["ratio"] == memory["new"] / memory["old"] > 1.5
    train = amounts["memory of a phase", "train, a training GPU"]
    assert train["new"] > train["old"] > 0
    for plan_of, side in ((found["old"], "old"), (found["new"], "new")):
        assert len(plan_of["hash"]) == 64, side
    saved = json.loads(_plan_json(capsys))
    assert amounts["forecast", "weight bytes"]["old"] == saved["forecast"]["weight_bytes"]


def _plan_json(capsys: Captured) -> str:
    assert plan(ASYNC, "--json") == 0
    return capsys.readouterr().out


def test_every_difference_says_which_equation_made_it_of_what(spec: str, capsys: Captured) -> None:
    found = as_json(capsys, spec, "--what-if", "rollout.samples_per_prompt=8")
    by_path = {one["path"]: one for one in found["differences"]}
    cause = by_path["rollout.samples_per_prompt"]
    assert cause["is_cause"]
    assert cause["reason"] == "--what-if rollout.samples_per_prompt=8"
    steps = by_path["train.steps_per_rollout"]
    assert (steps["old"], steps["new"], steps["by"]) == (2, 4, "batch identity")
    assert steps["inputs"] == ["rollout.samples_per_prompt 4 -> 8"]
    assert "x rollout.samples_per_prompt = train.global_batch x" in steps["reason"]
    total = by_path["optim.total_steps"]
    assert total["inputs"] == ["train.steps_per_rollout 2 -> 4"]
    assert not by_path["budget.samples"]["in_hash"]


def test_no_difference_is_without_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(TWO_STAGES)
    for asked in ("run.seed=3", "stages.grpo.train.global_batch=128", "stages.sft.until=off", "cluster.cpu_threads=1"):
        found = as_json(capsys, "spec.toml", "--what-if", asked)
        assert found["differences"], asked
        for one in found["differences"]:
            assert one["reason"] not in ("", "the compiler says so", "derived"), (asked, one)


def test_a_what_if_is_stronger_than_what_is_set(spec: str, capsys: Captured) -> None:
    found = as_json(capsys, spec, "--set", "run.seed=1", "--set", "optim.lr=1e-4", "--what-if", "run.seed=2")
    by_path = {one["path"]: (one["old"], one["new"]) for one in found["differences"]}
    assert by_path["run.seed"] == (1, 2)
    assert "optim.lr" not in by_path
    assert without_replaced(["a.b = 1", "a.bc=2"], ["a.b=3"]) == ("a.bc=2",)


def test_a_what_if_that_breaks_a_rule_shows_it(spec: str, capsys: Captured) -> None:
    assert plan(spec, "--what-if", "train.global_batch=33") == 1
    out, err = capsys.readouterr()
    assert "RLC0301" in err
    assert out == ""


def test_a_what_if_that_mends_a_spec_says_so(spec: str, capsys: Captured) -> None:
    assert plan(spec, "--set", "train.global_batch=33", "--what-if", "train.global_batch=32") == 1
    err = capsys.readouterr().err
    assert "RLC0301" in err
    assert "as it is there is no plan; with train.global_batch=32 there is: " in err


def test_what_is_as_it_was_differs_in_nothing(spec: str, capsys: Captured) -> None:
    assert plan(spec, "--what-if", "rollout.samples_per_prompt=4") == 0
    assert capsys.readouterr().out.endswith("no field of the plan differs\n")


@pytest.mark.parametrize("words", [("-o", "x.json"), ("--check", "x.json"), ("--diff", "x.toml")])
def test_what_is_about_one_plan_does_not_go_with_two(spec: str, words: tuple[str, ...]) -> None:
    assert plan(spec, "--what-if", "run.seed=1", *words) == 2


def test_a_saved_plan_is_not_changed(spec: str, capsys: Captured) -> None:
    assert plan(spec, "-o", "plan.json") == 0
    assert plan("plan.json", "--what-if", "run.seed=1") == 1
    assert "RLC0017" in capsys.readouterr().err
