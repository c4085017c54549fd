"""Several passes over one rollout: each in an order of its own, the schedule counts every step, and a run can go on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from runtime.schedules import trained
from stdlib.samples import TrainBatch
from tests.support.good_spec import Changes, codes
from tests.support.run_directory import results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

PASSES = 3
SPEC = f"""rlc = 1
name = "passes"
use = ["//recipes:RECIPE"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 4

[rollout]
max_prompt_tokens = 4
max_response_tokens = 3
prompts_per_step = 2
samples_per_prompt = 4

[reward]
name = "judge.py:reward"

[train]
global_batch = 4
epochs_per_rollout = {PASSES}

[optim]
lr = 1e-2
schedule = "linear"

[[data.train]]
path = "sums.jsonl"
"""


def plan_of(folder: Path, *overrides: str, recipe: str = "grpo") -> Plan:
    spec = write_experiment(folder, spec=SPEC.replace("RECIPE", recipe))
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    return compiled.plan


def run(folder: Path, *overrides: str, recipe: str = "grpo") -> list[dict[str, Any]]:
    plan = plan_of(folder, *overrides, recipe=recipe)
    assert run_plan(plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO())) == "finished"
    return rows_of(folder / "run")


def test_the_schedule_and_the_budget_count_the_steps_of_every_pass(tmp_path: Path) -> None:
    stage = plan_of(tmp_path).experiment.stages[0]
    assert stage.optim.total_steps == 4 * 2 * PASSES
    assert stage.budget.optimizer_steps == 4 * 2 * PASSES
    assert stage.budget.samples == 4 * 8 * PASSES
    assert stage.budget.max_sampled_tokens == 4 * 8 * 3


def test_the_learning_rate_falls_with_every_step(tmp_path: Path) -> None:
    rates = [row["train/lr"] for row in run(tmp_path) if "train/lr" in row]
    # The last rate of each rollout: those of steps 5, 11, 17 and 23 of 24, counted from 0.
    assert rates == pytest.approx([1e-2 * (1 - step / 24) for step in (5, 11, 17, 23)])


def test_every_pass_has_each_sample_once_and_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected: list[tuple[int, ...]] = []
    plain = trained.select

    def seen(batch: TrainBatch, sequences: list[int]) -> TrainBatch:
        selected.append(tuple(sequences))
        return plain(batch, sequences)

    monkeypatch.setattr(trained, "select", seen)
    run(tmp_path)
    passes = [selected[at] + selected[at + 1] for at in range(0, len(selected), 2)]
    assert len(passes) == 4 * PASSES
    assert all(sorted(order) == list(range(8)) for order in passes)
    assert len(set(passes)) == len(passes)


def test_only_the_first_step_has_a_ratio_of_one(tmp_path: Path) -> None:
    once = run(tmp_path / "once", "train.epochs_per_rollout=1", "train.global_batch=8")
    often = run(tmp_path / "often", "train.global_batch=8")
    assert all(row["train/ratio_mean"] == pytest.approx(1.0, abs=1e-5) for row in once)
    assert all(abs(row["train/approx_kl"]) > 1e-7 for row in often)


@pytest.mark.parametrize("recipe", ["grpo", "ppo"])
def test_a_run_that_is_continued_ends_like_one_that_was_not(recipe: str, tmp_path: Path) -> None:
    constant = ("optim.schedule=constant", *(("critic.warmup_rollouts=1",) if recipe == "ppo" else ()))
    for name, lengths in (("whole", (4,)), ("halves", (2, 4))):
        for steps in lengths:
            run(tmp_path / name, *constant, f"run.max_steps={steps}", recipe=recipe)
    assert results_of(tmp_path / "halves" / "run") == results_of(tmp_path / "whole" / "run")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.epochs_per_rollout": "2"}, []),
        ({"loss.old_logprobs": '"current"'}, []),
        ({"train.epochs_per_rollout": "2", "loss.old_logprobs": '"current"'}, ["RLC0310"]),
        ({"train.epochs_per_rollout": "2", "optim.total_steps": "20"}, []),
        ({"train.epochs_per_rollout": "2", "optim.total_steps": "10"}, ["RLC0306"]),
    ],
)
def test_a_spec_of_several_passes_holds_together(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, changes) == expected
