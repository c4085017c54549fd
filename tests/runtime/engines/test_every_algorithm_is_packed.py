"""Every algorithm without a teacher in the trainer: packed or one row at a time, loss and gradient are the same."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from compiler.ir.openness import OFF
from compiler.ir.training import Packing
from runtime.engines.train.forward import cut
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import grouped_batch, spec_of, tiny_optim, tiny_train, trainer_of
from tests.stdlib.algorithms.cases import CASES, params_of

pytestmark = pytest.mark.torch


def batch_of(name: str) -> TrainBatch:
    """Return 12 sequences, as six pairs where the algorithm learns from pairs."""
    batch, is_pairs = grouped_batch(), import_module(f"stdlib.algorithms.{name}").KIND == "preference"
    noise_T = torch.randn(len(batch.mask_T), generator=torch.Generator().manual_seed(7))
    ref_T = (batch.rollout_logprobs_T + 0.3 * noise_T) * batch.mask_T
    weights_T = (0.3 * noise_T.flip(0)).exp()
    return replace(batch, ref_logprobs_T=ref_T, weights_T=weights_T, row_size=2 if is_pairs else 1)


def step_of(name: str, reduction: str, **train: Any) -> tuple[float, dict[str, Tensor], int]:
    """Return the loss and the gradient of one step of plain descent at rate 1, and of how many micro-batches."""
    spec = spec_of(
        train=tiny_train(**train),
        optim=tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF),
        params=params_of(name, reduction),
    )
    algorithm: Any = import_module(f"stdlib.algorithms.{name}")
    trainer = trainer_of(spec, algorithm)
    before = {weight: tensor.clone() for weight, tensor in trainer.named_weights()}
    batch = batch_of(name)
    metrics = trainer.step(batch)
    gradient = {weight: before[weight] - after for weight, after in trainer.named_weights()}
    return metrics["train/loss"], gradient, len(cut(batch, spec))


@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].teacher is None])
def test_loss_and_gradient_of_packs_are_those_of_one_row_at_a_time(name: str, reduction: str) -> None:
    expected_loss, expected, single = step_of(name, reduction, micro_batch=1)
    loss, found, packed = step_of(name, reduction, packing=Packing(tokens=90))
    assert packed < single
    assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
    assert any(bool((gradient != 0).any()) for gradient in expected.values())
    for weight, gradient in expected.items():
        torch.testing.assert_close(found[weight], gradient, atol=2e-6, rtol=1e-5, msg=lambda m, w=weight: f"{w}: {m}")
