"""Experts that a bias balances: what is trained of them, and what only travels along."""

from __future__ import annotations

from typing import Never

import pytest
import torch

from compiler.ir.model import Model
from runtime.engines.train.torch_ import TorchTrainer
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    spec_of,
    tiny_families,
    tiny_optim,
    tiny_train,
    tiny_weights,
    trainer_of,
)

pytestmark = pytest.mark.torch

BALANCED = {name: model for name, model in tiny_families().items() if name in ("glm4_moe", "deepseek_v3")}
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"
TRAINED = (
    "model.layers.0.mlp.gate_proj.weight",
    "model.layers.1.mlp.gate.weight",
    "model.layers.1.mlp.experts.gate_up_proj",
    "model.layers.1.mlp.experts.down_proj",
    "model.layers.1.mlp.shared_experts.down_proj.weight",
)


@pytest.fixture(params=BALANCED.values(), ids=list(BALANCED))
def model(request: pytest.FixtureRequest) -> Model[Never]:
    return request.param


def weights_of(trainer: TorchTrainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.named_weights()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_moves_experts_and_router_and_leaves_the_bias(model: Model[Never], precision: str) -> None:
    optim = tiny_optim(name="sgd", lr=1.0, weight_decay=0.5)
    trainer = trainer_of(spec_of(model=model, optim=optim, train=tiny_train(precision=precision)))
    before = weights_of(trainer)
    trainer.step(grouped_batch())
    after = weights_of(trainer)
    assert after[BIAS].equal(before[BIAS])
    assert before[BIAS].abs().min() > 0
    for name in TRAINED:
        assert not after[name].equal(before[name] * 0.5), name
    moved = (after[TRAINED[2]] - before[TRAINED[2]] * 0.5).flatten(1).abs().amax(dim=1)
    assert moved.count_nonzero() >= 4  # the bias may keep all tokens from one


def test_the_bias_is_in_the_checkpoint_and_has_no_moments(model: Model[Never]) -> None:
    trainer = trainer_of(spec_of(model=model, keep_reference=True))
    state = trainer.state()
    assert [name for name in state if name.endswith(BIAS)] == [f"model.{BIAS}", f"reference.{BIAS}"]
    other = trainer_of(spec_of(model=model, keep_reference=True), seed=7)
    assert not weights_of(other)[BIAS].equal(state[f"model.{BIAS}"])
    other.load_state(state)
    assert weights_of(other)[BIAS].equal(state[f"model.{BIAS}"])
    trainer.step(grouped_batch())
    assert other.step(grouped_batch(1)) != trainer.step(grouped_batch(1))


def test_a_reference_takes_over_the_bias_of_the_policy(model: Model[Never]) -> None:
    trainer, batch = trainer_of(spec_of(model=model, keep_reference=True)), grouped_batch()
    state = trainer.state()
    state[f"reference.{BIAS}"] = -3.0 * state[f"reference.{BIAS}"]
    trainer.load_state(state)
    assert not trainer.logprobs(batch, of="reference").equal(trainer.logprobs(batch, of="policy"))
    trainer.refresh_reference()
    assert trainer.logprobs(batch, of="reference").equal(trainer.logprobs(batch, of="policy"))


def test_the_bias_chooses_among_experts_and_weighs_nothing(model: Model[Never]) -> None:
    weights, batch = tiny_weights(model), grouped_batch()
    plain = trainer_of(spec_of(model=model)).logprobs(batch, of="policy")
    for change, is_same in ((weights[BIAS] + 5.0, True), (-5.0 * weights[BIAS], False)):
        trainer = trainer_of(spec_of(model=model))
        trainer.load_state({**trainer.state(), f"model.{BIAS}": change})
        found = trainer.logprobs(batch, of="policy")
        assert torch.allclose(found, plain, atol=1e-5) == is_same
