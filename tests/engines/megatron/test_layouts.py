"""Every layout computes what the trainer of one process does: log-probs, loss, gradient norm, weights and moments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from compiler.ir.model import Moe
from tests.engines.megatron.answers import assert_same
from tests.engines.megatron.on_ranks import Case, trained
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.L2

EXPERTS: dict[str, Any] = {
    "family": "qwen3_moe",
    "moe": Moe(num_experts=6, experts_per_token=2, expert_size=24),
}
TP2: Changes = {"parallel.tp": "2"}
RECOMPUTED: Changes = {
    "train.engine.megatron.recompute_granularity": '"full"',
    "train.engine.megatron.recompute_method": '"uniform"',
    "train.engine.megatron.recompute_num_layers": "1",
}
SGD: Changes = {
    "optim.name": '"sgd"',
    "optim.eps": None,
    "optim.weight_decay": "0.0",
    "optim.momentum": "0.5",
    "optim.lr": "0.1",
}
LAYOUTS: list[tuple[str, dict[str, Any], int, Changes]] = [
    ("one", {}, 1, {}),
    ("tp2", {}, 2, {**TP2, "parallel.sp": "false"}),
    ("tp2 sp", {}, 2, {**TP2, "parallel.sp": "true"}),
    ("tp2 sp recomputed", {}, 2, {**TP2, "parallel.sp": "true", **RECOMPUTED}),
    ("dp2", {}, 2, {}),
    ("dp2 sgd", {}, 2, SGD),
    ("pp2", {}, 2, {"parallel.pp": "2"}),
    ("pp2 vpp2", {"num_layers": 4}, 2, {"parallel.pp": "2", "parallel.vpp": "2"}),
    ("cp2", {}, 2, {"parallel.cp": "2"}),
    ("cp2 untied", {"tie_embeddings": False}, 2, {"parallel.cp": "2"}),
    ("ep2", EXPERTS, 2, {"parallel.ep": "2"}),
    ("tp2 pp2", {}, 4, {**TP2, "parallel.pp": "2"}),
    ("tp2 ep2", EXPERTS, 4, {**TP2, "parallel.ep": "2", "cluster.nodes": "1"}),
]


def case_of(folder: Path, model: dict[str, Any], changes: Changes, *, num_ranks: int) -> Case:
    facts = tiny_model(**model)
    return Case(
        launch=launch_of(folder, facts, changes, num_ranks=num_ranks),
        params=policy_params(entropy_coef=0.01),
        weights=tiny_weights(facts),
        batches=[grouped_batch(), grouped_batch(1)],
    )


@pytest.mark.parametrize(("model", "num_ranks", "changes"), [x[1:] for x in LAYOUTS], ids=[x[0] for x in LAYOUTS])
def test_a_layout_trains_as_one_process_does(
    tmp_path: Path, megatron_ranks: RunRanks, model: dict[str, Any], num_ranks: int, changes: Changes
) -> None:
    case = case_of(tmp_path, model, changes, num_ranks=num_ranks)
    assert_same(megatron_ranks(num_ranks, trained, case)[0], case.alone())


@pytest.mark.parametrize("layout", [{**TP2, "parallel.sp": "true"}, {"parallel.pp": "2"}], ids=["tp2 sp", "pp2"])
def test_bf16_has_weights_of_its_own_and_goes_on_from_those_of_fp32(
    tmp_path: Path, megatron_ranks: RunRanks, layout: Changes
) -> None:
    """Products of bf16 round at 2^-8; what the update rule keeps is fp32, and starts as it was given."""
    fp32 = case_of(tmp_path, {}, layout, num_ranks=2)
    facts = tiny_model()
    half = replace(fp32, launch=launch_of(tmp_path, facts, {**layout, "train.precision": '"bf16"'}, num_ranks=2))
    started = megatron_ranks(2, trained, replace(half, batches=[]))[0]
    assert all(started.state[f"model.{name}"].equal(weight) for name, weight in fp32.weights.items())
    found, expected = megatron_ranks(2, trained, half)[0], fp32.alone()
    torch.testing.assert_close(found.logprobs, expected.logprobs, atol=0.05, rtol=0)
    for metrics, right in zip(found.metrics, expected.metrics, strict=True):
        assert metrics["train/grad_norm"] == pytest.approx(right["train/grad_norm"], rel=0.05)
    moved = {name: found.state[f"model.{name}"] - found.weights[name] for name in found.weights}
    assert 0 < max(float(tensor.abs().max()) for tensor in moved.values()) < 2e-2
