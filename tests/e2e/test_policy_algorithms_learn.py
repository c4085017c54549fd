"""Every recipe that samples learns a task of one token, on the CPU target, from a plan.

The reward is 1 for a response that starts with the digit 7.  A policy of random weights does so in about one of twelve
responses; one that learns does so in most.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

STEPS = 24
SPEC = f"""rlc = 1
name = "sevens"
use = ["//recipes:RECIPE"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = {STEPS}

[rollout]
max_prompt_tokens = 4
max_response_tokens = 2
prompts_per_step = 8
samples_per_prompt = 8

[reward]
name = "judge.py:reward"

[train]
global_batch = 64

[optim]
lr = 2e-2

[[data.train]]
path = "sums.jsonl"
"""
JUDGE = """def reward(sample):
    return float(sample.text.startswith("7"))


def length(sample):
    return float(len(sample.text))
"""
# What each recipe needs to move within so few steps: clip ranges meant for large models hold a tiny one still.
FURTHER = {
    "gspo": ("loss.clip_low=0.2", "loss.clip_high=0.2"),
    "gdpo": (
        'reward.name="weighted_sum"',
        'reward.terms=[{ name = "judge.py:reward" }, { name = "judge.py:length", weight = 0.1 }]',
    ),
    "dapo": ('rollout.truncated_responses="train"', 'reward.shaping.overlong="off"'),
    "ppo": ("critic.lr=2e-2", "critic.warmup_rollouts=2"),
    "vapo": ("critic.lr=2e-2", "critic.warmup_rollouts=2"),
}
NO_POLICY_OF_REWARDS = ("dpo", "on_policy_distillation", "reward_model_bt", "reward_model_regression", "sft")
POLICY_RECIPES = sorted(
    path.stem
    for path in (scan().stdlib / "recipes").iterdir()
    if path.suffix == ".star" and path.stem not in NO_POLICY_OF_REWARDS
)


@pytest.mark.parametrize("recipe", POLICY_RECIPES)
def test_a_recipe_learns(recipe: str, tmp_path: Path) -> None:
    rows = run(tmp_path, recipe)
    measured = "reward/judge.py:reward/mean" if recipe == "gdpo" else "reward/mean"
    rewards = [float(row[measured]) for row in rows]
    assert len(rewards) == STEPS
    assert sum(rewards[:3]) / 3 < 0.35
    assert sum(rewards[-3:]) / 3 > 0.7, rewards


@pytest.mark.parametrize(
    "further",
    [
        ('loss.old_logprobs="recompute"', 'loss.mismatch.bound="truncate"', "loss.rejection.max_error=1.5"),
        ('loss.kl.estimator="k3"', "loss.kl.coef=0.001", "loss.kl.refresh_steps=4"),
        ('algo.baseline="leave_one_out"', "algo.advantage_high=2.0", "loss.dual_clip=3.0"),
        ('loss.reduction="sequence"', 'loss.empty_sequences="skip"', "loss.opsm_delta=0.5"),
        ("train.global_batch=16", "algo.whiten=true"),
        ("loss.positive_nll.coef=0.1", "train.epochs_per_rollout=2"),
    ],
)
def test_settings_of_grpo_learn(further: tuple[str, ...], tmp_path: Path) -> None:
    rewards = [float(row["reward/mean"]) for row in run(tmp_path, "grpo", *further)]
    assert sum(rewards[-3:]) / 3 > 0.7, rewards


@pytest.mark.parametrize(
    "further",
    [
        ('schedule.mode="one_step_off"',),
        ('schedule.mode="async"', "rollout.concurrency=96"),
        ('schedule.mode="async"', "schedule.max_staleness=2", "rollout.concurrency=192"),
        (
            'schedule.mode="async"',
            "schedule.max_staleness=2",
            "rollout.concurrency=192",
            'loss.old_logprobs="recompute"',
            'loss.mismatch.bound="truncate"',
        ),
    ],
)
def test_what_older_weights_sampled_teaches_as_well(further: tuple[str, ...], tmp_path: Path) -> None:
    rows = run(tmp_path, "grpo", *further)
    rewards = [float(row["reward/mean"]) for row in rows]
    assert len(rewards) == STEPS
    assert sum(float(row["schedule/staleness_mean"]) for row in rows) / STEPS > 0.5
    assert sum(rewards[-3:]) / 3 > 0.7, rewards


def test_a_reference_that_is_refreshed_is_the_policy_of_that_step(tmp_path: Path) -> None:
    further = ('loss.kl.estimator="k3"', "loss.kl.refresh_steps=4", 'loss.old_logprobs="recompute"')
    kls = [float(row["train/kl"]) for row in run(tmp_path, "grpo", *further)]
    # The reference is the policy itself at the first step and after every refresh.
    assert [step for step, kl in enumerate(kls) if abs(kl) < 1e-9] == [0, 4, 8, 12, 16, 20]


def test_engine_and_trainer_agree_so_their_weights_are_one(tmp_path: Path) -> None:
    further = ('loss.old_logprobs="recompute"', 'loss.mismatch.bound="none"')
    rows = run(tmp_path, "grpo", *further)
    assert all(abs(float(row["mismatch/weight_mean"]) - 1.0) < 1e-4 for row in rows)


def test_a_critic_is_trained_alone_until_it_is_warm(tmp_path: Path) -> None:
    rows = run(
        tmp_path,
        "ppo",
        "critic.warmup_rollouts=3",
        'loss.kl.estimator="k1"',
        "loss.kl.coef=0.01",
        'loss.kl.place="reward"',
    )
    assert ["train/loss" in row for row in rows] == [step >= 3 for step in range(STEPS)]
    assert all("critic/value_error" in row for row in rows)


def test_both_schedules_of_learning_rates_end_with_the_stage(tmp_path: Path) -> None:
    linear = ("critic.warmup_rollouts=4", 'optim.schedule="linear"', "train.global_batch=16", "optim.warmup_steps=0")
    rows = run(tmp_path, "ppo", *linear, "run.max_steps=12")
    # Four updates of a rollout, and a row has the rate of the last: the policy takes 32 of them, the critic 48.
    assert [row["train/lr"] for row in rows[4:]] == pytest.approx([2e-2 * (1 - (4 * n + 3) / 32) for n in range(8)])
    assert [row["critic/lr"] for row in rows] == pytest.approx([2e-2 * (1 - (4 * n + 3) / 48) for n in range(12)])


def run(folder: Path, recipe: str, *further: str) -> list[dict[str, Any]]:
    spec = write_experiment(folder, spec=SPEC.replace("RECIPE", recipe))
    (folder / "judge.py").write_text(JUDGE, encoding="utf-8")
    given = {line.partition("=")[0]: line for line in (*FURTHER.get(recipe, ()), *further)}
    compiled = compile_spec(spec, scan(), overrides=tuple(given.values()))
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    assert run_plan(compiled.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO())) == "finished"
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]
