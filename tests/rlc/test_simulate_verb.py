"""`rlc simulate`: a plan in simulated time, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.planner.simulate.pace import NONE
from compiler.planner.simulate.plan_pace import Beside
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.simulating import Line, simulate_stage

ASYNC = "experiments/grpo_qwen3_8b_async.toml"


def test_it_says_what_a_step_takes_and_what_was_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", ASYNC, "--steps", "20", "--failures", "0"]) == 0
    out = capsys.readouterr().out
    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert said.keys() >= {"steps", "step", "tokens", "staleness", "idle", "failures", "assumed"}
    assert said["steps"].startswith("20 in ")
    assert "gpu_hours_per_failure 0" in said["assumed"]


def test_the_same_line_prints_the_same_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["simulate", ASYNC, "--steps", "20", "--seed", "3", "--failures", "40", "--json"]
    printed = []
    for words in (line, line, [*line, "--seed", "4"]):
        assert main(words) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]
    found = json.loads(printed[0])
    assert found["steps"] == 20
    assert max(map(int, found["staleness"])) <= 1
    assert found["assumed"]["gpu_hours_per_failure"] == 40


def test_what_a_spec_expects_is_assumed_unless_the_line_says_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["simulate", "experiments/search_r1_qwen2_5_3b.toml", "--steps", "5", "--failures", "0", "--json"]
    expects = ["reward.expected_call_s=3.0", "environment.expected_turns=3", "environment.expected_turn_s=20.0"]
    told = [word for setting in expects for word in ("--set", setting)]
    found = []
    for words in (line, [*line, *told], [*line, *told, "--judge", "0", "--turns", "1", "--turn", "0"]):
        assert main(words) == 0
        found.append(json.loads(capsys.readouterr().out))
    plain, expected, said = found
    names = ("judge_s", "turns", "turn_s")
    assert [expected["assumed"][name] for name in names] == [3.0, 3.0, 20.0]
    assert [said["assumed"][name] for name in names] == [0.0, 1.0, 0.0]
    assert plain["assumed"]["judge_s"] == plain["assumed"]["turn_s"] == 0.0
    # Two waits and a call behind the tokens of every group, and of the slowest of its episodes.
    assert expected["step_s"]["mean"] > plain["step_s"]["mean"] + 2 * 20.0 + 3.0
    assert said["step_s"] == plain["step_s"]


def test_engines_that_read_prompts_count_in_gpu_hours() -> None:
    pairs = "placement.disaggregation.prefill_engines=2"
    for overrides in ((), (pairs,)):
        plan = compile_spec(Path(ASYNC), scan(), overrides=overrides).plan
        assert plan is not None
        assert simulate_stage(plan.experiment, Line(None, 5, 0), NONE, Beside()).outcome.gpus == 16


@pytest.mark.parametrize("name", ["dapo_qwen2_5_7b", "grpo_glm4_5_air", "vapo_qwen2_5_7b"])
def test_where_nothing_goes_wrong_a_step_takes_what_the_plan_says(name: str) -> None:
    """The planner follows the shares of a distribution through one engine, the simulator draws every group."""
    plan = compile_spec(Path(f"experiments/{name}.toml"), scan()).plan
    assert plan is not None
    time = plan.forecast.stages[0].time
    found = simulate_stage(plan.experiment, Line(None, 30, 0), NONE, Beside()).outcome
    assert found.step_s.mean == pytest.approx(time.__dict__["step_seconds"], rel=0.1)


def test_what_does_not_wait_is_faster(tmp_path: Path) -> None:
    text = Path(ASYNC).read_text().partition("[schedule]")
    rest = text[2].partition("[parallel]")
    means = []
    for mode in ("sync", "one_step_off", "async"):
        spec = tmp_path / "spec.toml"
        spec.write_text(f'{text[0]}[schedule]\nmode = "{mode}"\n\n[parallel]{rest[2]}')
        plan = compile_spec(spec, scan()).plan
        assert plan is not None
        means.append(simulate_stage(plan.experiment, Line(None, 40, 0), NONE, Beside()).outcome.step_s.mean)
    assert means == sorted(means, reverse=True)
    assert means[0] > means[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["experiments/quickstart.toml"], "target cpu has no GPUs"),
        (["experiments/sft_qwen2_5_7b.toml"], "no stage samples"),
        ([ASYNC, "--stage", "mian"], "stage mian is not in the plan"),
        ([ASYNC, "--set", "debug.mode=rollout_only"], 'taken apart by debug.mode = "rollout_only"'),
    ],
)
def test_a_plan_without_such_a_stage_is_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words]) == 1
    err = capsys.readouterr().err
    assert "error[RLC0417]" in err
    assert says in err
