"""The FSDP2 trainer of a tiny model on some ranks, and what it is compared by."""

from __future__ import annotations

from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.machine import Parallel
from compiler.ir.openness import OFF
from compiler.ir.training import Fsdp2, TrainEngine
from runtime.engines.train.fsdp2 import Fsdp2Trainer
from runtime.engines.train.torch_ import TrainerSpec
from runtime.protocols import Trainer
from stdlib.algorithms import grpo
from tests.runtime.engines.tiny_trainer import grouped_batch, spec_of, tiny_train, tiny_weights
from tests.support.ranks import RunRanks

Trained = tuple[list[dict[str, float]], Tensor, dict[str, Tensor]]


def layout(**sizes: Any) -> Parallel[Never]:
    alone: dict[str, Any] = {"tp": 1, "sp": False, "pp": 1, "vpp": 1, "cp": 1, "ep": 1, "etp": 1, "dp": 1}
    return Parallel(**{**alone, **sizes})


def engine(settings: dict[str, Any] | None = None) -> TrainEngine[Never]:
    return TrainEngine(name="fsdp2", version=OFF, fsdp2=Fsdp2(**settings or {}))


def spec_with(
    *, settings: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **changes: Any
) -> TrainerSpec:
    return spec_of(**{"train": tiny_train(engine=engine(settings), **train or {}), **changes})


def on_ranks(
    run_ranks: RunRanks, spec: TrainerSpec, parallel: Parallel[Never], function: Any = None, *args: Any
) -> list[Any]:
    """Return what a function of spec and layout, and further arguments, finds on each rank of the layout."""
    return run_ranks(parallel.dp * parallel.cp * parallel.tp, function or trained_on_a_rank, spec, parallel, *args)


def trained(trainer: Trainer) -> Trained:
    """Return metrics of three steps, then log-probs and weights."""
    metrics = [dict(trainer.step(grouped_batch(seed))) for seed in range(3)]
    logprobs_T = trainer.logprobs(grouped_batch(9), of="policy")
    return metrics, logprobs_T, {name: tensor.clone() for name, tensor in trainer.named_weights()}


def trained_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never]) -> Trained:
    return trained(Fsdp2Trainer(spec, parallel, grpo, tiny_weights(spec.model)))


def assert_same(found: Trained, expected: Trained, bound: float = 1e-5) -> None:
    for ours, theirs in zip(found[0], expected[0], strict=True):
        assert ours == pytest.approx(theirs, rel=bound, abs=bound * 1e-1)
    torch.testing.assert_close(found[1], expected[1], rtol=bound, atol=bound)
    assert found[2].keys() == expected[2].keys()
    for name, tensor in expected[2].items():
        torch.testing.assert_close(found[2][name], tensor, rtol=bound, atol=bound, msg=lambda m, n=name: f"{n}: {m}")
