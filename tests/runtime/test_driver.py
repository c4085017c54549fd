"""Stages that follow each other, end early, or are given more steps; runs in this process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import Outcome, RunPlace, run_plan
from tests.support.run_directory import newest_checkpoint, rows_of
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = pytest.mark.torch


def test_a_stage_ends_at_the_first_evaluation_that_meets_its_bound(tmp_path: Path) -> None:
    _run(tmp_path, until='until = "eval.heldout.accuracy >= 0"')
    assert _steps(tmp_path, "sft") == [1, 2, 3, 4]
    assert _evaluations(tmp_path, "sft") == [4]
    assert _steps(tmp_path, "grpo") == [1]


def test_a_bound_that_is_met_at_the_start_leaves_no_step_to_take(tmp_path: Path) -> None:
    _run(tmp_path, until='until = "eval.heldout.accuracy >= 0"\neval.at_start = true')
    assert _steps(tmp_path, "sft") == []
    assert _evaluations(tmp_path, "sft") == [0]
    assert _steps(tmp_path, "grpo") == [1]


def test_a_stage_that_misses_its_bound_ends_after_its_steps_and_says_so(tmp_path: Path) -> None:
    out = _run(tmp_path, until='until = "eval.heldout.accuracy > 1"')
    assert _steps(tmp_path, "sft") == [1, 2, 3, 4, 5, 6]
    assert "stage sft ended after 6 steps, its bound; eval/heldout/accuracy was 0." in out


def test_a_stage_that_missed_its_bound_goes_on_if_it_is_given_more_steps(tmp_path: Path) -> None:
    _run(tmp_path, until="", rl='until = "eval.heldout.accuracy > 1"')
    _run(tmp_path, until="", rl='until = "eval.heldout.accuracy > 1"', overrides=("stages.grpo.run.max_steps=3",))
    assert _steps(tmp_path, "grpo") == [1, 2, 3]


def test_a_stage_that_met_its_bound_is_over_even_if_it_is_given_more_steps(tmp_path: Path) -> None:
    _run(tmp_path, until="", rl='until = "eval.heldout.accuracy >= 0"')
    out = _run(
        tmp_path, until="", rl='until = "eval.heldout.accuracy >= 0"', overrides=("stages.grpo.run.max_steps=3",)
    )
    assert _steps(tmp_path, "grpo") == []
    assert "this run had finished before" in out


def test_a_plan_with_fewer_steps_than_were_taken_goes_on_to_the_next_stage(tmp_path: Path) -> None:
    _run(tmp_path, until="", overrides=("stages.sft.run.max_steps=4",))
    before = newest_checkpoint(tmp_path / "run").name
    out = _run(tmp_path, until="", overrides=("stages.sft.run.max_steps=2",))
    assert newest_checkpoint(tmp_path / "run").name == before == "step_000005"
    assert "this run had finished before" in out


def test_rows_that_are_dropped_are_counted_for_training_and_for_evaluation(tmp_path: Path) -> None:
    short, long = '{"input": "1=", "label": "1"}\n', '{"input": "1+1+1=", "label": "3"}\n'
    files = {"sums.jsonl": short * 4 + long * 3, "heldout.jsonl": short + long * 2}
    out = _run(tmp_path, until="", overrides=('rollout.overlong_prompts="drop"',), files=files)
    assert "warning: RLC0605: 3 rows of the training data too long and dropped" in out
    assert "warning: RLC0605: 2 rows of the held-out data too long and dropped" in out


def test_responses_that_nobody_could_judge_are_counted_out_loud(tmp_path: Path) -> None:
    judge = (
        "import os\nfrom stdlib.rewards._isolation import Isolation\n"
        "ISOLATION = Isolation(score=0.0, memory_gib=1, imports=())\n"
        "def reward(sample):\n    os._exit(3) if sample.id.group == 0 else None\n    return 1.0\n"
    )
    out = _run(tmp_path, until="", rl="eval.greedy = false", files={"judge.py": judge})
    assert "warning: RLC0613: stage grpo, step 1: 4 response(s) could not be judged" in out


def _run(
    folder: Path,
    *,
    until: str,
    rl: str = "eval.at_start = true",
    overrides: tuple[str, ...] = (),
    files: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run the tiny experiment, with some of its files changed, for one step of GRPO; return what was printed."""
    text = SPEC.replace('name = "sft"', f'name = "sft"\n{until}').replace('name = "grpo"', f'name = "grpo"\n{rl}')
    if "at_start = true" in until:
        text = text.replace("eval.at_start = false\n", "")
    spec = write_experiment(folder, spec=text.replace("run.max_steps = 8", "run.max_steps = 1"))
    for name, content in files.items():
        (folder / name).write_text(content)
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, compiled.diagnostics
    stream = io.StringIO()
    outcome: Outcome = run_plan(compiled.plan, RunPlace(root=folder, run_dir=folder / "run", stream=stream))
    assert outcome == "finished"
    return stream.getvalue()


def _steps(folder: Path, stage: str) -> list[int]:
    return [row["step"] for row in rows_of(folder / "run") if row["stage"] == stage and "train/loss" in row]


def _evaluations(folder: Path, stage: str) -> list[int]:
    rows = rows_of(folder / "run")
    return [row["step"] for row in rows if row["stage"] == stage and "eval/heldout/accuracy" in row]
