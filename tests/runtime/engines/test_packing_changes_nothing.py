"""However sequences are packed, loss, gradient and log-probs of the trainer are the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compiler.ir.loss import PositiveNll
from compiler.ir.model import Moe
from compiler.ir.openness import OFF
from compiler.ir.training import Packing, SequenceFlops
from runtime.engines.train.forward import cut
from runtime.engines.train.torch_ import TrainerSpec
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    policy_params,
    spec_of,
    tiny_model,
    tiny_optim,
    tiny_train,
    trainer_of,
)

pytestmark = pytest.mark.torch

ALGORITHMS = (
    "best_fit_decreasing",
    "modified_first_fit_decreasing",
    "first_fit_decreasing",
    "first_fit_shuffle",
    "concatenative",
)
WAYS = [{"algorithm": a, "balance": b} for a, b in product(ALGORITHMS, (OFF, "tokens", "flops"))]


def spec_with(*, tokens: int = 70, model: Any = None, **packing: Any) -> TrainerSpec:
    flops = SequenceFlops(per_token=1000, per_pair=64) if packing.get("balance") == "flops" else OFF
    return spec_of(
        model=model or tiny_model(),
        train=tiny_train(packing=Packing(tokens=tokens, flops=flops, **packing)),
        optim=tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF),
        params=policy_params(entropy_coef=0.01),
        seed=3,
    )


def step_of(spec: TrainerSpec) -> tuple[float, dict[str, Tensor]]:
    """Return the loss and the gradient of one step of plain descent at rate 1."""
    trainer = trainer_of(spec)
    before = {name: weight.clone() for name, weight in trainer.named_weights()}
    metrics = trainer.step(grouped_batch())
    return metrics["train/loss"], {name: before[name] - after for name, after in trainer.named_weights()}


def unpacked() -> TrainerSpec:
    return spec_of(
        train=tiny_train(micro_batch=1),
        optim=tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF),
        params=policy_params(entropy_coef=0.01),
    )


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradient_are_those_of_one_sequence_at_a_time(way: dict[str, Any]) -> None:
    expected_loss, expected = step_of(unpacked())
    loss, found = step_of(spec_with(**way))
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_the_mean_over_right_responses_is_that_of_the_global_batch() -> None:
    batch = grouped_batch()
    right_N = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    given = replace(batch, is_right_T=torch.repeat_interleave(right_N, torch.tensor(batch.lengths_N)))
    params = policy_params(positive_nll=PositiveNll(coef=0.5))
    losses, nlls = list[float](), list[float]()
    for spec in (unpacked(), spec_with(), spec_with(algorithm="concatenative", balance="tokens")):
        metrics = trainer_of(replace(spec, params=params)).step(given)
        losses.append(metrics["train/loss"])
        nlls.append(metrics["train/positive_nll"])
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)
    trainer = trainer_of(unpacked())
    logprobs_T = trainer.logprobs(given, of="policy")
    counts_T = given.mask_T * torch.repeat_interleave(right_N, torch.tensor(batch.lengths_N))
    expected = -float((logprobs_T * counts_T).sum() / counts_T.sum())
    assert nlls == pytest.approx([expected] * 3, abs=1e-5)


def test_the_ways_do_cut_differently() -> None:
    cuts = {cut(grouped_batch(), spec_with(**way)) for way in WAYS}
    assert len(cuts) >= 6


def test_the_shuffle_is_that_of_the_stage() -> None:
    spec = spec_with(algorithm="first_fit_shuffle")
    cuts = {cut(grouped_batch(), replace(spec, seed=seed)) for seed in range(6)}
    assert len(cuts) > 1


@pytest.mark.parametrize("multiple", [7, 64, 128])
@pytest.mark.parametrize("has_experts", [False, True])
def test_padding_of_a_micro_batch_changes_nothing(multiple: int, has_experts: bool) -> None:
    experts = Moe(num_experts=5, experts_per_token=2, expert_size=24)
    model = tiny_model(family="qwen3_moe", moe=experts) if has_experts else tiny_model()
    expected_loss, expected = step_of(spec_with(model=model))
    spec = spec_with(model=model, pad_multiple=multiple)
    loss, found = step_of(spec)
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("multiple", [1, 7, 64])
def test_the_model_sees_whole_multiples(multiple: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def looked_up(self: nn.Embedding, tokens: Tensor) -> Tensor:
        sizes.append(tokens.numel())
        return nn.functional.embedding(tokens, self.weight)

    monkeypatch.setattr(nn.Embedding, "forward", looked_up)
    trainer_of(spec_with(pad_multiple=multiple)).step(grouped_batch())
    assert len(sizes) > 1
    assert all(size % multiple == 0 for size in sizes)
    assert multiple > 1 or any(size % 7 for size in sizes)
