"""The FSDP2 trainer on several ranks computes what the torch trainer computes alone."""

from __future__ import annotations

from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.machine import Parallel
from compiler.ir.training import Packing, PolicyTrain
from runtime.engines.train.fsdp2 import Fsdp2Trainer
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.protocols import Trainer
from stdlib.algorithms import grpo
from tests.runtime.engines.tiny_ranks import (
    assert_same,
    engine,
    layout,
    on_ranks,
    spec_with,
    trained,
    trained_on_a_rank,
)
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    policy_params,
    spec_of,
    tiny_families,
    tiny_optim,
    tiny_train,
    tiny_weights,
)
from tests.support.ranks import RanksFailedError, RunRanks

pytestmark = pytest.mark.torch

LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dp2": ({"dp": 2}, {}),
    "dp4": ({"dp": 4}, {}),
    "hsdp": ({"dp": 4}, {"dp_replicate_size": 2}),
    "tp2": ({"tp": 2}, {}),
    "tp2-sp": ({"tp": 2, "sp": True}, {}),
    "tp2-dp2": ({"tp": 2, "dp": 2}, {}),
    "cp2": ({"cp": 2}, {}),
    "cp2-dp2": ({"cp": 2, "dp": 2}, {}),
    "cp2-tp2-sp": ({"cp": 2, "tp": 2, "sp": True}, {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_trains_as_one_process_does(name: str, run_ranks: RunRanks) -> None:
    sizes, settings = LAYOUTS[name]
    spec = spec_with(settings=settings, keep_reference=True, params=policy_params(entropy_coef=0.01))
    every = on_ranks(run_ranks, spec, layout(**sizes))
    assert_same(every[0], trained(TorchTrainer(spec, grpo, tiny_weights(spec.model))))
    assert all(found[0] == every[0][0] and found[1].equal(every[0][1]) for found in every)


@pytest.mark.parametrize("sizes", [{"tp": 2, "sp": True, "dp": 2}, {"cp": 2}], ids=str)
@pytest.mark.parametrize("family", tiny_families())
def test_every_family_is_split_exactly(family: str, sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    # By plain descent: a rule that divides by the gradient's size makes steps of what is 0 but for rounding.
    spec = spec_with(model=tiny_families()[family], optim=tiny_optim(name="sgd", momentum=0.9, lr=0.05))
    every = on_ranks(run_ranks, spec, layout(**sizes))
    assert_same(every[0], trained(TorchTrainer(spec, grpo, tiny_weights(spec.model))))


@pytest.mark.parametrize("sizes", [{"dp": 2}, {"tp": 2, "sp": True}, {"cp": 2}], ids=str)
def test_plain_descent_decays_weights_and_not_gradients(sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    spec = spec_with(optim=tiny_optim(name="sgd", momentum=0.9, lr=0.05, weight_decay=0.3))
    every = on_ranks(run_ranks, spec, layout(**sizes))
    assert_same(every[0], trained(TorchTrainer(spec, grpo, tiny_weights(spec.model))))


@pytest.mark.parametrize(
    "settings",
    [
        {"activation_checkpointing": "full", "activation_checkpointing_freq": 2},
        {"activation_checkpointing": "selective"},
        {"reshard_after_forward": False},
        {"cpu_offload": True, "pin_memory": False},
    ],
    ids=lambda settings: next(iter(settings.values())),
)
def test_what_is_kept_and_where_changes_no_bit(settings: dict[str, Any], run_ranks: RunRanks) -> None:
    spec = spec_with(settings=settings)
    found, plain = (on_ranks(run_ranks, s, layout(dp=2))[0] for s in (spec, spec_with()))
    assert found[0] == plain[0]
    assert all(found[2][name].equal(tensor) for name, tensor in plain[2].items())


@pytest.mark.parametrize("sizes", [{"dp": 2}, {"tp": 2, "sp": True}, {"cp": 2}], ids=str)
def test_half_precision_rounds_and_nothing_else(sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    spec = spec_with(train={"precision": "bf16"}, optim=tiny_optim(name="sgd", lr=0.05))
    metrics, logprobs_T, weights = on_ranks(run_ranks, spec, layout(**sizes))[0]
    expected = trained(TorchTrainer(spec_with(optim=spec.optim), grpo, tiny_weights(spec.model)))
    assert metrics[0]["train/grad_norm"] == pytest.approx(expected[0][0]["train/grad_norm"], rel=0.05)
    assert (logprobs_T - expected[1]).abs().mean() < 0.05
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize("train", [{"micro_batch": 5}, {"packing": Packing(tokens=45)}], ids=["count", "tokens"])
def test_ranks_without_a_micro_batch_keep_step(train: dict[str, Any], run_ranks: RunRanks) -> None:
    """Three micro-batches, or as many as 45 tokens make of 12 sequences, for four ranks."""
    spec = spec_with(train=train)
    every = on_ranks(run_ranks, spec, layout(dp=4))
    assert_same(every[0], trained(TorchTrainer(spec, grpo, tiny_weights(spec.model))))


def with_replay(spec: TrainerSpec, parallel: Parallel[Never]) -> tuple[dict[str, float], Tensor]:
    return replayed(Fsdp2Trainer(spec, parallel, grpo, tiny_weights(spec.model)))


def replayed(trainer: Trainer) -> tuple[dict[str, float], Tensor]:
    """Return metrics of a step on the experts of the pass before another step, and which these were."""
    batch = trainer.with_old_logprobs(grouped_batch())
    trainer.step(grouped_batch(5) if batch.expert_ids_TLC is None else batch)
    assert batch.expert_ids_TLC is not None
    return dict(trainer.step(batch)), batch.expert_ids_TLC


@pytest.mark.parametrize("sizes", [{"dp": 2}, {"tp": 2, "sp": True}, {"cp": 2}], ids=str)
def test_routing_is_replayed_where_layers_are_computed_again(sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    plain = vars(tiny_train(engine=engine({"activation_checkpointing": "full"})))
    facts: dict[str, Any] = {**plain, "steps_per_rollout": 1, "routing_replay": "trainer"}
    train: PolicyTrain[Never] = PolicyTrain(**facts)
    spec = spec_of(model=tiny_families()["qwen3_moe"], train=train, optim=tiny_optim(name="sgd", lr=0.5))
    metrics, expert_ids_TLC = on_ranks(run_ranks, spec, layout(**sizes), with_replay)[0]
    expected, their_ids_TLC = replayed(TorchTrainer(spec, grpo, tiny_weights(spec.model)))
    assert expert_ids_TLC.equal(their_ids_TLC)
    assert metrics == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert metrics["train/rerouted_frac"] > 0


def test_experts_are_not_spread(run_ranks: RunRanks) -> None:
    with pytest.raises(RanksFailedError, match=r"parallel.ep = 2"):
        run_ranks(2, trained_on_a_rank, spec_with(model=tiny_families()["qwen3_moe"]), layout(dp=2, ep=2))


def test_another_number_of_ranks_than_the_plan_has_is_said(run_ranks: RunRanks) -> None:
    with pytest.raises(RanksFailedError, match="dp x cp x tp = 2 x 1 x 2 = 4 ranks, and 2 have met"):
        run_ranks(2, trained_on_a_rank, spec_with(), layout(dp=2, tp=2))
