"""`--policy`: what plan, check and run do with it, and what `rlc explain` says of expressions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlc.cli.main import main
from rlc.running import Place, prepare
from tests.support.tiny_experiment import write_experiment

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab.star").write_text('require("run.seed > 1000", "seeds are drawn")\n')
    return write_experiment(tmp_path)


@pytest.mark.parametrize("verb", ["plan", "check"])
def test_a_verb_holds_a_spec_against_a_policy(spec: Path, verb: str, capsys: Captured) -> None:
    assert main([verb, str(spec)]) == 0
    capsys.readouterr()
    assert main([verb, str(spec), "--policy", "lab.star"]) == 1
    assert "the policy does not hold: seeds are drawn" in capsys.readouterr().err


def test_a_run_is_refused_by_a_policy(spec: Path) -> None:
    assert prepare(spec, overrides=(), place=Place()).job is not None
    refused = prepare(spec, overrides=(), place=Place(), policies=[Path("lab.star")])
    assert (refused.job, [d.code for d in refused.diagnostics]) == (None, ["RLC0325"])


def test_a_saved_plan_is_not_checked_against_a_policy(spec: Path, capsys: Captured) -> None:
    assert main(["plan", str(spec), "-o", "saved.json"]) == 0
    assert main(["plan", "saved.json", "--policy", "lab.star"]) == 1
    assert "--policy checks a spec" in capsys.readouterr().err
    found = prepare(Path("saved.json"), overrides=(), place=Place(), policies=[Path("lab.star")]).diagnostics
    assert [(d.code, "--policy checks a spec" in d.message) for d in found] == [("RLC0017", True)]


def test_each_experiment_of_a_file_is_held_against_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arms.star").write_text(
        "def arm(group):\n"
        '    return experiment(name = "g%d" % group, use = ["//recipes:grpo"], run = dict(max_steps = 5),\n'
        '        model = dict(name = "//models:tiny_qwen3"), cluster = dict(target = "cpu"),\n'
        '        reward = dict(name = "exact"),\n'
        "        rollout = dict(prompts_per_step = 2, samples_per_prompt = group, max_response_tokens = 8),\n"
        '        data = dict(train = [dict(path = "p.jsonl")]))\n'
        "sweep([arm(group) for group in (2, 4, 6)])\n"
    )
    Path("lab.star").write_text('require("rollout.samples_per_prompt != 4", "not four")\n')
    assert main(["check", "arms.star", "--policy", "lab.star"]) == 1
    captured = capsys.readouterr()
    assert "3 specs checked: errors in 1" in captured.out
    assert captured.err.count("the policy does not hold: not four") == 1


def test_explain_shows_the_expression_and_what_it_reads(spec: Path, capsys: Captured) -> None:
    reference = 'log.transcripts_per_step="${run.seed + 2}"'
    assert main(["explain", str(spec), "log.transcripts_per_step", "--set", reference]) == 0
    out = capsys.readouterr().out
    assert "${run.seed + 2}" in out
    assert "run.seed = " in out
    assert main(["explain", str(spec), "log.transcripts_per_step", "--set", reference, "--json"]) == 0
    graph = json.loads(capsys.readouterr().out)["fields"]
    assert graph["log.transcripts_per_step"]["inputs"] == ["run.seed"]
    assert "log.transcripts_per_step" in graph["run.seed"]["dependents"]


def test_explain_shows_the_requirement_that_a_value_was_solved_from(spec: Path, capsys: Captured) -> None:
    text = spec.read_text()
    statement = "rollout.concurrency == 2 * run.max_steps"
    spec.write_text(f'require = [{{ that = "{statement}", why = "twice" }}]\n{text}')
    assert main(["explain", str(spec), "rollout.concurrency"]) == 0
    out = capsys.readouterr().out
    assert f"solved from what {spec}:1:21 requires" in out
    assert statement in out
