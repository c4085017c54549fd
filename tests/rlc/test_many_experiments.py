"""Files of Starlark on the command line: lists of experiments, one of them by name, and where a value comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.compiler.bad_specs import working_in

SWEEP = """load("base.star", "base")

def arm(clip_high, batch = 32):
    return experiment(
        name = "clip-%s" % clip_high,
        use = [base(clip_high = clip_high)],
        model = dict(name = "//models:tiny_qwen3"),
        cluster = dict(target = "cpu"),
        run = dict(max_steps = 10),
        rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
        reward = dict(name = "exact"),
        train = dict(global_batch = batch),
        data = dict(train = [dict(path = "train.jsonl")]),
    )

sweep([arm(0.2), arm(0.28), arm(0.3, batch = 16)])
"""
BASE = """def base(clip_high):
    return fragment(use = ["//recipes:grpo"], loss = dict(clip_high = clip_high))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "base.star").write_text(BASE)
    (tmp_path / "sweep.star").write_text(SWEEP)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], lab: Path, *line: str, code: int = 0) -> str:
    with working_in(lab):
        assert main(list(line)) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_a_file_of_several_is_listed_with_the_fields_in_which_they_differ(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows, blank, last = said(capsys, lab, "plan", "sweep.star").splitlines()
    assert head.split() == ["name", "loss.clip_high", "train.global_batch", "plan"]
    assert [row.split()[:3] for row in rows] == [
        ["clip-0.2", "0.2", "32"],
        ["clip-0.28", "0.28", "32"],
        ["clip-0.3", "0.3", "16"],
    ]
    assert (blank, last) == ("", "3 experiments; rlc plan sweep.star:NAME shows one")
    plan = json.loads(said(capsys, lab, "plan", "sweep.star:clip-0.28", "--json"))
    assert rows[1].split()[-1] == plan["hash"][:12]


def test_json_of_several_holds_each_plan_under_its_name(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = json.loads(said(capsys, lab, "plan", "sweep.star", "--json"))
    assert list(plans) == ["clip-0.2", "clip-0.28", "clip-0.3"]
    assert plans["clip-0.3"] == json.loads(said(capsys, lab, "plan", "sweep.star:clip-0.3", "--json"))


def test_a_list_shows_the_errors_of_one_and_the_plans_of_the_others(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "sweep.star").write_text(SWEEP.replace("arm(0.28)", "arm(-1)"))
    with working_in(lab):
        assert main(["plan", "sweep.star"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("error[") == 1
    assert "clip-0.2 " in captured.out
    assert "has errors" in captured.out
    assert main(["plan", str(lab / "sweep.star"), "--json"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "line", [["explain", "sweep.star"], ["run", "sweep.star"], ["plan", "sweep.star", "-o", "p.json"]]
)
def test_what_is_about_one_experiment_asks_which(
    line: list[str], lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, lab, *line, code=1).startswith("error[RLC0025]: sweep.star holds 3 experiments: which one?")


def test_a_name_that_there_is_not_is_answered_with_the_nearest(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, lab, "plan", "sweep.star:clip-0.29", code=1)
    assert text.startswith("error[RLC0024]: sweep.star holds no experiment called clip-0.29")
    assert "= help: write sweep.star:clip-0.2" in text


def test_two_experiments_of_a_file_are_compared(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, lab, "plan", "sweep.star:clip-0.28", "--diff", "sweep.star:clip-0.2")
    assert "loss.clip_high: 0.2 -> 0.28" in text


def test_check_counts_every_experiment_and_tells_libraries_apart(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, lab, "check", ".").splitlines()[-1] == "3 specs, 1 library checked: no errors"
    assert said(capsys, lab, "check", "sweep.star:clip-0.2").splitlines()[-1] == "1 spec checked: no errors"
    assert said(capsys, lab, "check", "base.star").splitlines()[-1] == "1 library checked: no errors"


def test_a_value_is_explained_by_its_argument_and_the_calls(
    lab: Path, capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    golden(
        "explain/through_calls.txt", said(capsys, lab, "--ascii", "explain", "sweep.star:clip-0.28", "loss.clip_high")
    )
    found = json.loads(said(capsys, lab, "explain", "sweep.star:clip-0.28", "loss.clip_high", "--json"))
    origin = found["fields"]["loss.clip_high"]["origin"]
    assert (origin["file"], origin["line"], origin["column"]) == ("base.star", 2, 59)
    assert origin["argument"] == "clip_high = clip_high"
    assert [(call["function"], call["line"], call["text"]) for call in origin["calls"]] == [
        ("arm", 16, "arm(0.28)"),
        ("base", 6, "base(clip_high = clip_high)"),
    ]


@pytest.mark.parametrize("verb", ["plan", "check"])
def test_what_is_wrong_with_the_command_line_is_said_once(
    lab: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert said(capsys, lab, verb, "sweep.star", "--set", "run.max_stpes=3", code=1).count("error[") == 1
