"""Groups that teach nothing are left out and others sampled in their place; responses that were cut may not count."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import newest_checkpoint, results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "filtered"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 4

[rollout]
max_prompt_tokens = 4
max_response_tokens = 2
prompts_per_step = 6
samples_per_prompt = 4

[rollout.filter]
name = "nonzero_std"

[reward]
name = "judge.py:reward"

[train]
global_batch = 24

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[[data.train]]
path = "sums.jsonl"
"""
SOME = 'def reward(sample):\n    return float(sample.text[:1] in "024")\n'
SAME = "def reward(sample):\n    return 0.5\n"


def run(folder: Path, *overrides: str, judge: str = SOME) -> list[dict[str, Any]]:
    spec = write_experiment(folder, spec=SPEC)
    (folder / "judge.py").write_text(judge, encoding="utf-8")
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    run_plan(compiled.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]


def test_a_step_has_as_many_groups_as_it_wants_and_all_of_them_differ(tmp_path: Path) -> None:
    rows = run(tmp_path)
    assert len(rows) == 4
    for row in rows:
        assert row["rollout/zero_std_groups_frac"] == 0.0
        assert row["rollout/drawn_prompts"] == 6 + row["rollout/filtered_groups"] + row["rollout/surplus_groups"]
        assert "rollout/kept_filtered_groups" not in row
    assert any(row["rollout/refills"] > 0 for row in rows)


def test_a_step_that_is_sampled_again_and_again_is_resumed_bit_by_bit(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "cut", "run.max_steps=2")
    run(tmp_path / "cut")
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")


def test_oversampling_draws_more_at_once_and_leaves_the_surplus(tmp_path: Path) -> None:
    rows = run(tmp_path, "rollout.filter.oversample=4.0")
    assert rows[0]["rollout/drawn_prompts"] >= 24
    assert any(row["rollout/surplus_groups"] > 0 for row in rows)


def test_filtered_groups_fill_a_step_that_misses_some(tmp_path: Path) -> None:
    (row, *_) = run(tmp_path, "rollout.filter.max_refills=1", judge=SAME)
    assert row["rollout/drawn_prompts"] == 12
    assert row["rollout/kept_filtered_groups"] == 6
    assert row["train/grad_norm"] == 0.0


@pytest.mark.parametrize("fate", ["stop", "train_fewer"])
def test_a_step_without_groups_ends_the_run_and_keeps_the_last_checkpoint(tmp_path: Path, fate: str) -> None:
    run(tmp_path, "run.max_steps=1")
    with pytest.raises(SpecError, match="RLC0690"):
        run(
            tmp_path,
            f'rollout.filter.on_shortage="{fate}"',
            "rollout.filter.max_refills=0",
            "run.max_steps=2",
            judge=SAME,
        )
    assert newest_checkpoint(tmp_path / "run").name == "step_000001"


def test_groups_that_could_not_be_judged_are_sampled_again(tmp_path: Path) -> None:
    faulty = SOME.replace("    return", '    assert not sample.text.startswith("5")\n    return')
    rows = run(tmp_path, 'reward.on_failure="drop_group"', judge=faulty)
    assert len(rows) == 4
    assert any(row["reward/failed"] > 0 for row in rows)


def test_the_last_batch_of_a_step_that_lost_a_group_is_smaller_and_counted(tmp_path: Path) -> None:
    faulty = SOME.replace("    return", '    assert not sample.prompt.text.startswith("0+1")\n    return')
    further = ('rollout.filter="off"', 'reward.on_failure="drop_group"', "data.shuffle=false", "run.max_steps=2")
    sizes = ("rollout.prompts_per_step=4", "rollout.samples_per_prompt=4", "train.global_batch=8")
    lost, whole = run(tmp_path, *further, *sizes, "train.epochs_per_rollout=2", judge=faulty)
    # Twelve samples are a batch of eight and one of four, in each of two passes.
    assert lost["reward/failed"] > 0
    assert lost["train/short_batches"] == 2.0
    assert "train/short_batches" not in whole


def test_a_step_whose_judgements_all_failed_ends_the_run(tmp_path: Path) -> None:
    off = ('rollout.filter="off"', 'reward.on_failure="drop_group"')
    with pytest.raises(SpecError, match="RLC0681"):
        run(tmp_path, *off, judge="def reward(sample):\n    raise ValueError\n")


def test_responses_that_were_cut_do_not_count_in_the_loss(tmp_path: Path) -> None:
    counted = run(tmp_path / "train", 'rollout.filter="off"')
    masked = run(tmp_path / "mask", 'rollout.filter="off"', 'rollout.truncated_responses="mask"')
    assert counted[0]["rollout/truncated_frac"] == masked[0]["rollout/truncated_frac"] > 0
    assert masked[0]["train/num_tokens"] < counted[0]["train/num_tokens"]


def test_a_batch_in_which_nothing_counts_is_no_step(tmp_path: Path) -> None:
    few = ("rollout.prompts_per_step=1", "rollout.samples_per_prompt=2", "train.global_batch=2", "run.max_steps=8")
    cut = ('rollout.filter="off"', 'rollout.truncated_responses="mask"', "rollout.max_response_tokens=1")
    rows = run(tmp_path, *few, *cut)
    assert any(row["rollout/truncated_frac"] == 1.0 for row in rows)
    for row in rows:
        nothing_counts = row["rollout/truncated_frac"] == 1.0
        assert ("train/loss" not in row) is nothing_counts
        assert (row.get("train/skipped_steps") == 1.0) is nothing_counts
