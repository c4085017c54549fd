"""Layers that predict further tokens: their loss against the equations, and what it trains."""

from __future__ import annotations

from typing import Any, Never

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.ir.training import MultiTokenPrediction, Packing
from compiler.planner.parameters import prediction_parameters
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.train.hf_model import empty_model, held_weights
from runtime.engines.train.torch_ import TorchTrainer
from stdlib.algorithms import grpo, sft
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import (
    batch_of,
    grouped_batch,
    hf_model,
    spec_of,
    supervised_params,
    tiny_families,
    tiny_optim,
    tiny_train,
)

pytestmark = pytest.mark.torch

DEPTH = 2
AFTER = ("model.layers.2.", "model.layers.3.")
FAMILIES = {
    name: model.replacing(num_mtp_layers=DEPTH)
    for name, model in tiny_families().items()
    if name in ("glm4_moe", "deepseek_v3")
}


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def model(request: pytest.FixtureRequest) -> Model[Never]:
    return request.param


def weights_of(model: Model[Never], seed: int = 0) -> dict[str, Tensor]:
    """Return weights of a model with its layers that predict further tokens."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, tensor in held_weights(empty_model(model, predicts=True)).items():
        noise = torch.randn(tensor.shape, generator=generator)
        found[name] = 1.0 + 0.2 * noise if name.endswith("norm.weight") else 0.15 * noise
    return found


def test_the_planner_counts_their_weights(model: Model[Never]) -> None:
    layers = [tensor.numel() for name, tensor in weights_of(model).items() if name.startswith(AFTER)]
    assert prediction_parameters(model) == sum(layers)


def trainer_of(
    model: Model[Never], *, params: Any = None, algorithm: Any = grpo, optim: Any = None, **changes: Any
) -> TorchTrainer:
    given: dict[str, Any] = {} if params is None else {"params": params}
    optim = optim or tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF)
    spec = spec_of(model=model, train=tiny_train(**changes), optim=optim, keep_reference=True, **given)
    return TorchTrainer(spec, algorithm, weights_of(model))


def plain_layers(model: Model[Never]) -> tuple[Any, list[Any]]:
    """Return Hugging Face's own model, and its blocks that stand behind it, unadapted."""
    built = hf_model(model)
    layers: Any = empty_model(model, predicts=True).model.layers[model.num_layers :]
    layers = [layer.to_empty(device="cpu") for layer in layers]
    given = weights_of(model)
    with torch.no_grad():
        for name, tensor in held_weights(built).items():
            tensor.copy_(given[name])
        for at, layer in enumerate(layers):
            for name, tensor in layer.state_dict(keep_vars=True).items():
                tensor.copy_(given[f"model.layers.{model.num_layers + at}.{name}"])
    return built, layers


def plain_loss(model: Model[Never], batch: TrainBatch) -> tuple[Tensor, Any, list[Any]]:
    """Return the mean over layers of -1/N sum log P of the counted tokens that a layer predicts, one at a time.

    Equations 21 to 25 of arXiv:2412.19437, with the embedding in front.
    """
    built, layers = plain_layers(model)
    sums = [torch.zeros(()) for _ in layers]
    counts = [0 for _ in layers]
    masks = batch.mask_T.split(list(batch.lengths_N))
    for tokens, mask in zip(batch.tokens_T.split(list(batch.lengths_N)), masks, strict=True):
        hidden = built.model(input_ids=tokens[None]).last_hidden_state
        for k, layer in enumerate(layers, 1):
            num = len(tokens) - k
            if num < 2:
                break
            embedded = built.model.embed_tokens(tokens[k:])[None]
            joined = torch.cat([layer.enorm(embedded), layer.hnorm(hidden[:, :num])], dim=-1)
            x, positions = layer.eh_proj(joined), torch.arange(num)[None]
            causal = torch.full((num, num), -torch.inf).triu(1)[None, None]
            turn = built.model.rotary_emb(x, positions)
            hidden = layer(x, attention_mask=causal, position_ids=positions, position_embeddings=turn)
            hidden = layer.shared_head.norm(hidden)
            losses = F.cross_entropy(built.lm_head(hidden[0, :-1]), tokens[k + 1 :], reduction="none")
            sums[k - 1] = sums[k - 1] + (losses * mask[k + 1 :]).sum()
            counts[k - 1] += int(mask[k + 1 :].sum())
    return sum((s / n for s, n in zip(sums, counts, strict=True)), torch.zeros(())) / len(layers), built, layers


def moved(trainer: TorchTrainer, model: Model[Never]) -> dict[str, Tensor]:
    """Return by how much a step at rate 1 without momentum moved each weight: its gradient."""
    before = weights_of(model)
    return {name: before[name] - tensor for name, tensor in trainer.named_weights()}


@pytest.mark.parametrize("tokens", [OFF, 64])
def test_the_loss_is_that_of_the_equations(model: Model[Never], tokens: Any) -> None:
    batch = grouped_batch()
    expected, _, _ = plain_loss(model, batch)
    trainer = trainer_of(model, mtp=MultiTokenPrediction(), packing=Packing(tokens=tokens, pad_multiple=8))
    assert trainer.step(batch)["train/mtp_loss"] == pytest.approx(float(expected.detach()), abs=2e-5)


def test_the_loss_in_bf16_is_near_that_of_the_equations(model: Model[Never]) -> None:
    batch = grouped_batch()
    expected, _, _ = plain_loss(model, batch)
    trainer = trainer_of(model, mtp=MultiTokenPrediction(), precision="bf16")
    assert trainer.step(batch)["train/mtp_loss"] == pytest.approx(float(expected.detach()), rel=5e-3)


@pytest.mark.parametrize("trains_trunk", [False, True])
def test_gradients_are_those_of_the_equations(model: Model[Never], trains_trunk: bool) -> None:
    """With likelihood as the other loss, whose gradient a trainer without further tokens shows."""
    batch = grouped_batch()
    changes: dict[str, Any] = {"params": supervised_params(), "algorithm": sft}
    settings = MultiTokenPrediction(loss_coef=0.7, trains_trunk=trains_trunk)
    without, trainer = trainer_of(model, **changes), trainer_of(model, mtp=settings, **changes)
    without.step(batch)
    trainer.step(batch)
    loss, built, layers = plain_loss(model, batch)
    (0.7 * loss).backward()
    plain, found = moved(without, model), moved(trainer, model)
    own = {name: p.grad for name, p in built.named_parameters()}
    for at, layer in enumerate(layers):
        own |= {f"model.layers.{model.num_layers + at}.{name}": p.grad for name, p in layer.named_parameters()}
    for name, gradient in found.items():
        expected = own.get(name)
        is_of_layer = int(name.split(".")[2]) >= model.num_layers if ".layers." in name else False
        if expected is None or not (is_of_layer or trains_trunk):
            expected = torch.zeros_like(gradient)
        torch.testing.assert_close(gradient, plain[name] + expected, atol=2e-5, rtol=1e-4, msg=name)


def test_the_model_itself_is_trained_as_without(model: Model[Never]) -> None:
    batch = grouped_batch()
    without, trainer = trainer_of(model), trainer_of(model, mtp=MultiTokenPrediction(loss_coef=5.0))
    without.step(batch)
    trainer.step(batch)
    theirs = dict(without.named_weights())
    for name, tensor in trainer.named_weights():
        is_of_layer = name.startswith(AFTER)
        is_bias = name.endswith("e_score_correction_bias")
        assert tensor.equal(theirs[name]) != (is_of_layer and not is_bias), name


def test_layers_that_are_held_and_not_trained_stay_as_they_are(model: Model[Never]) -> None:
    trainer = trainer_of(model, optim=tiny_optim(name="sgd", lr=1.0, weight_decay=0.5))
    trainer.step(grouped_batch())
    given = weights_of(model)
    layers = {name: t for name, t in trainer.named_weights() if name.startswith(AFTER)}
    assert layers
    assert all(tensor.equal(given[name]) for name, tensor in layers.items())


@pytest.mark.parametrize("mtp", [OFF, MultiTokenPrediction()])
def test_training_goes_on_from_a_state_bit_by_bit(model: Model[Never], mtp: Any) -> None:
    whole, cut = (trainer_of(model, mtp=mtp, optim=tiny_optim()) for _ in range(2))
    # Nothing of this batch is far enough behind to be predicted by the second layer.
    short = batch_of([[1, 2, 3], [4, 5]], [1, 1])
    for batch in (grouped_batch(), short):
        whole.step(batch)
        cut.step(batch)
    resumed = trainer_of(model, mtp=mtp, optim=tiny_optim())
    resumed.load_state(cut.state())
    assert resumed.step(grouped_batch(1)) == whole.step(grouped_batch(1))
    for (name, ours), (_, theirs) in zip(resumed.named_weights(), whole.named_weights(), strict=True):
        assert ours.equal(theirs), name


def test_heads_learn_what_comes_after_the_next_token(model: Model[Never]) -> None:
    batch = batch_of([[i % 7 for i in range(start, start + 30)] for start in range(7)], [1] * 7)
    trainer = trainer_of(
        model, params=supervised_params(), algorithm=sft, mtp=MultiTokenPrediction(), optim=tiny_optim(total_steps=60)
    )
    losses = [trainer.step(batch)["train/mtp_loss"] for _ in range(60)]
    assert losses[0] > 3.0
    assert losses[-1] < 0.1


@pytest.mark.parametrize("cuts", [(12,), (5, 1, 1, 3, 2)])
def test_the_engine_predicts_what_the_equations_say(model: Model[Never], cuts: tuple[int, ...]) -> None:
    """Two rows of which one is a token ahead, at once and in parts that go on with what the layers have seen."""
    built, layers = plain_layers(model)
    facts = architecture(model)
    decoder = Decoder(model, facts, num_positions=32)
    given = weights_of(model)
    for weight in decoder.weights():
        weight.load(given[weight.name])
    tokens = torch.randint(0, model.vocab_size, (2, 16), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        hidden = built.model(input_ids=tokens).last_hidden_state
        for k, layer in enumerate(layers, 1):
            num = 16 - k
            joined = torch.cat([layer.enorm(built.model.embed_tokens(tokens[:, k:])), layer.hnorm(hidden[:, :num])], -1)
            x, positions = layer.eh_proj(joined), torch.arange(num)[None]
            causal = torch.full((num, num), -torch.inf).triu(1)[None, None]
            turn = built.model.rotary_emb(x, positions)
            after = layer.shared_head.norm(
                layer(x, attention_mask=causal, position_ids=positions, position_embeddings=turn)
            )
            num_tables = 1 if facts.latent is not None else 2
            held = torch.zeros(num_tables, 2, decoder.shape.num_keys, num, decoder.shape.key_dim)
            # The first row begins a position earlier than the second one, which has seen one more.
            starts = torch.tensor([0, 1])
            decoder.predict(k - 1, tokens[:, k : k + 1], hidden[:, :1], held, torch.tensor([0, 0]))
            for count in cuts:
                at = starts[:, None] + torch.arange(count)
                rows = torch.arange(2)[:, None]
                logits, states = decoder.predict(k - 1, tokens[rows, at + k], hidden[rows, at], held, starts)
                torch.testing.assert_close(states, after[rows, at], atol=2e-5, rtol=1e-4)
                torch.testing.assert_close(logits, built.lm_head(after)[rows, at], atol=1e-4, rtol=1e-4)
                starts = starts + count
            hidden = after
