"""Runs that replay routing, from the spec to the metrics: with the experts of the engine, and of the trainer itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "routed"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 3

[rollout]
max_prompt_tokens = 4
max_response_tokens = 8
prompts_per_step = 4
samples_per_prompt = 4

[reward]
name = "judge.py:reward"

[loss]
old_logprobs = "recompute"

[train]
global_batch = 8
steps_per_rollout = 2

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[[data.train]]
path = "sums.jsonl"
"""
EXPERTS = ("model.num_layers=2", "model.moe.num_experts=4", "model.moe.experts_per_token=2", "model.moe.expert_size=8")
BALANCED = (
    *EXPERTS,
    "model.moe.shared_expert_size=8",
    "model.moe.num_dense_layers=1",
    'model.moe.score="sigmoid"',
    "model.moe.expert_bias=true",
)
LATENT = (
    'model.qk_norm="none"',
    "model.num_kv_heads=2",
    "model.mla.kv_lora_rank=8",
    "model.mla.qk_nope_dim=4",
    "model.mla.qk_rope_dim=4",
    "model.mla.v_head_dim=8",
)
FAMILIES = {"qwen3_moe": EXPERTS, "glm4_moe": BALANCED, "deepseek_v3": (*BALANCED, *LATENT)}


def run(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    spec = write_experiment(folder, spec=SPEC)
    found = compile_spec(spec, scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]


@pytest.mark.parametrize("replayed", ["rollout", "trainer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_replays_routing_is_resumed_bit_by_bit(tmp_path: Path, family: str, replayed: str) -> None:
    further = (f'model.family="{family}"', *FAMILIES[family], f'train.routing_replay="{replayed}"')
    rows = run(tmp_path / "whole", *further)
    assert len(rows) == 3
    assert all(0 <= row["train/rerouted_frac"] <= 1 for row in rows)
    # The second of two updates finds routers that the first one moved.
    assert any(row["train/rerouted_frac"] > 0 for row in rows)
    run(tmp_path / "cut", *further, "run.max_steps=2")
    run(tmp_path / "cut", *further)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")


def test_a_router_that_chooses_anew_says_nothing_of_a_replay(tmp_path: Path) -> None:
    rows = run(tmp_path, 'model.family="qwen3_moe"', *EXPERTS, "run.max_steps=1")
    assert "train/rerouted_frac" not in rows[0]
