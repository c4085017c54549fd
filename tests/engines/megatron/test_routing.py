"""Replayed routing: tokens visit the experts that they are given on whichever rank routes them, as in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.model import Model
from runtime.engines.train.torch_ import TorchTrainer
from stdlib.samples import TrainBatch
from tests.engines.megatron.on_ranks import Case, trainer_on_rank
from tests.engines.megatron.plans import launch_of
from tests.engines.megatron.test_families import FAMILIES
from tests.engines.megatron.test_layouts import RECOMPUTED
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RanksFailedError, RunRanks

pytestmark = pytest.mark.L2

MODEL = FAMILIES["qwen3_moe"]
DEEP = MODEL.replacing(num_layers=4)
BALANCED = FAMILIES[
    "glm4_moe"
]  # a bias takes part in the choice and not in the weights; its first layer has no experts
TP2: Changes = {"parallel.tp": "2", "parallel.sp": "true"}
INTERLEAVED: Changes = {"parallel.pp": "2", "parallel.vpp": "2"}
AGAIN: Changes = {  # the layer of experts alone
    "train.engine.megatron.recompute_granularity": '"selective"',
    "train.engine.megatron.recompute_modules": '["moe"]',
}
LAYOUTS: dict[str, tuple[Model[Never], int, Changes]] = {
    "one": (MODEL, 1, {}),
    "dp2": (MODEL, 2, {}),
    "ep2": (MODEL, 2, {"parallel.ep": "2"}),
    "ep2 recomputed": (MODEL, 2, {"parallel.ep": "2", **RECOMPUTED}),
    "tp2 sp": (MODEL, 2, TP2),
    "tp2 sp recomputed": (MODEL, 2, {**TP2, **AGAIN}),
    "pp2": (MODEL, 2, {"parallel.pp": "2"}),
    "pp2 vpp2": (DEEP, 2, INTERLEAVED),
    "pp2 recomputed": (DEEP, 2, {"parallel.pp": "2", **RECOMPUTED}),
    "cp2": (MODEL, 2, {"parallel.cp": "2"}),
    "tp2 sp pp2 bias": (BALANCED, 4, {**TP2, "parallel.pp": "2", **AGAIN}),
    "tp2 sp ep2": (MODEL, 4, {**TP2, "parallel.ep": "2"}),
}


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a trainer says of a batch whose experts are given, or its own of before a step."""

    logprobs: Tensor
    metrics: Mapping[str, float]
    expert_ids: Tensor
    weights: Mapping[str, Tensor]


def replayed(trainer: Any, batch: TrainBatch, other: TrainBatch) -> Replayed:
    """Take a step on another batch between the pass for old log-probs and the step on these experts."""
    old = trainer.with_old_logprobs(batch)
    assert old.expert_ids_TLC is not None
    trainer.step(trainer.with_old_logprobs(other))
    logprobs = trainer.logprobs(old, of="policy")
    metrics = trainer.step(old)
    weights = {name: tensor.clone() for name, tensor in trainer.named_weights()}
    return Replayed(logprobs=logprobs, metrics=metrics, expert_ids=old.expert_ids_TLC, weights=weights)


def replayed_on_rank(case: Case) -> Replayed:
    return replayed(trainer_on_rank(case), *case.batches)


def case_of(
    folder: Path, model: Model[Never], changes: Changes, *, num_ranks: int, which: Literal["rollout", "trainer"]
) -> Case:
    asked = {"train.routing_replay": f'"{which}"', "loss.old_logprobs": '"recompute"', "optim.lr": "3e-2", **changes}
    batches = [grouped_batch(), grouped_batch(5)]
    if which == "rollout":
        batches = [replace(batch, expert_ids_TLC=any_experts(batch, model)) for batch in batches]
    return Case(
        launch=launch_of(folder, model, asked, num_ranks=num_ranks),
        params=policy_params(),
        weights=tiny_weights(model),
        batches=batches,
    )


def any_experts(batch: TrainBatch, model: Model[Never]) -> Tensor:
    """Return [T, L, C] experts that tokens visit in no order, which hardly any would choose."""
    moe: Any = model.moe
    draw = torch.rand(
        batch.tokens_T.shape[0],
        model.num_layers - moe.num_dense_layers,
        moe.num_experts,
        generator=torch.Generator().manual_seed(3),
    )
    return draw.argsort(-1)[..., : moe.experts_per_token].to(torch.int16)


@pytest.mark.parametrize("which", ["trainer", "rollout"])
@pytest.mark.parametrize(("model", "num_ranks", "changes"), LAYOUTS.values(), ids=list(LAYOUTS))
def test_tokens_visit_the_experts_that_they_are_given_as_in_one_process(
    tmp_path: Path,
    megatron_ranks: RunRanks,
    model: Model[Never],
    num_ranks: int,
    changes: Changes,
    which: Literal["rollout", "trainer"],
) -> None:
    case = case_of(tmp_path, model, changes, num_ranks=num_ranks, which=which)
    expected = replayed(TorchTrainer(case.spec, case.algorithm, case.weights), *case.batches)
    for found in megatron_ranks(num_ranks, replayed_on_rank, case):
        assert found.expert_ids.sort(-1).values.equal(expected.expert_ids.sort(-1).values)
        torch.testing.assert_close(found.logprobs, expected.logprobs, atol=1e-5, rtol=0)
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-5, abs=1e-6)
        assert found.metrics["train/rerouted_frac"] > 0
        for name, weight in expected.weights.items():
            torch.testing.assert_close(found.weights[name], weight, atol=2e-6, rtol=0)


def test_what_nobody_recorded_is_not_replayed(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    case = case_of(tmp_path, MODEL, {"parallel.pp": "2"}, num_ranks=2, which="trainer")
    with pytest.raises(RanksFailedError, match="RLC0770") as caught:
        megatron_ranks(2, stepped, case)
    assert len(caught.value.errors) == 2


def stepped(case: Case) -> None:
    trainer_on_rank(case).step(case.batches[0])
