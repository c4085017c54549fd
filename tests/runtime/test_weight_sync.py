"""Weights on their way: what arrives is compared bit by bit."""

from __future__ import annotations

from typing import Never

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.model import Model
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.weights.sync import sync_weights, verify_weights
from tests.contract.rollout_engines import engine_of, generate, request, weights_of
from tests.runtime.engines.tiny_trainer import grouped_batch, spec_of, trainer_of
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

NAME = "model.layers.1.self_attn.q_proj.weight"


def engine_with(model: Model[Never], weights: dict[str, Tensor]) -> NativeEngine:
    engine = NativeEngine(model, concurrency=2, max_context_tokens=64)
    engine.load_weights(iter(weights.items()), version=1)
    return engine


def fault_of(model: Model[Never], held: dict[str, Tensor], held_as: Model[Never] | None = None) -> str:
    """Return what is said of an engine that holds something else than a trainer of `model`."""
    trainer = trainer_of(spec_of(model=model))
    with pytest.raises(SpecError) as fault:
        verify_weights(trainer, engine_with(held_as or model, held), version=7)
    (diagnostic,) = fault.value.diagnostics
    assert diagnostic.code == "RLC0621"
    assert diagnostic.message.startswith("weight version 7 did not arrive")
    return diagnostic.message


def test_an_engine_generates_from_what_was_trained() -> None:
    model = tiny_model()
    trainer, engine = trainer_of(spec_of(model=model)), engine_of(NativeEngine, model)
    asked = [request([3, 1], num_samples=4)]
    before = generate(engine, asked)
    trainer.step(grouped_batch())
    sync_weights(trainer, engine, 2, verify=True)
    fresh = engine_with(model, {name: t.detach() for name, t in trainer.named_weights()})
    after = generate(engine, asked)
    assert [c.tokens for c in after] == [c.tokens for c in generate(fresh, asked)]
    assert [c.logprobs for c in after] != [c.logprobs for c in before]
    assert {v for c in after for v in c.versions} == {2}


def test_an_engine_keeps_its_own_copy() -> None:
    trainer, engine = trainer_of(spec_of()), engine_of(NativeEngine)
    sync_weights(trainer, engine, 2, verify=True)
    trainer.step(grouped_batch())
    with pytest.raises(SpecError):
        verify_weights(trainer, engine, version=2)


def test_one_number_that_differs_is_found() -> None:
    model = tiny_model()
    held = weights_of(model)
    held[NAME][5, 2] = torch.nextafter(held[NAME][5, 2], torch.tensor(9.0))
    assert f"{NAME} differs in 1 of 2,048 numbers" in fault_of(model, held)


def test_zero_of_the_other_sign_is_a_difference() -> None:
    model = tiny_model()
    sent, held = weights_of(model), weights_of(model)
    sent[NAME][0, 0], held[NAME][0, 0] = 0.0, -0.0
    trainer = trainer_of(spec_of(model=model))
    with torch.no_grad():
        dict(trainer.named_weights())[NAME].copy_(sent[NAME])
    verify_weights(trainer, engine_with(model, sent), version=1)
    with pytest.raises(SpecError, match="differs in 1 of"):
        verify_weights(trainer, engine_with(model, held), version=1)


def test_what_is_not_a_number_arrives_too() -> None:
    trainer = trainer_of(spec_of())
    with torch.no_grad():
        dict(trainer.named_weights())[NAME][0, 0] = torch.nan
    sync_weights(trainer, engine_of(NativeEngine), 2, verify=True)


def test_a_weight_that_the_engine_lacks_is_named() -> None:
    untied = tiny_model(tie_embeddings=False)
    assert "lm_head.weight is not among the engine's weights" in fault_of(
        untied, {n: t for n, t in weights_of(untied).items() if n != "lm_head.weight"}, tiny_model()
    )


def test_a_weight_that_the_trainer_lacks_is_named() -> None:
    untied = tiny_model(tie_embeddings=False)
    assert "lm_head.weight is not among the trainer's weights" in fault_of(tiny_model(), weights_of(untied), untied)


def test_a_weight_of_another_shape_is_named() -> None:
    wide = tiny_model(intermediate_size=64)
    said = fault_of(tiny_model(), weights_of(wide), wide)
    assert "model.layers.0.mlp.gate_proj.weight has shape [64, 32] in the engine and [48, 32] in the trainer" in said
