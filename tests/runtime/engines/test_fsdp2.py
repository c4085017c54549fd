"""The FSDP2 trainer on several ranks computes what the torch trainer computes alone."""

from __future__ import annotations

from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.machine import Parallel
from compiler.ir.openness import OFF
from compiler.ir.training import Fsdp2, TrainEngine
from runtime.engines.train.fsdp2 import Fsdp2Trainer
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.protocols import Trainer
from stdlib.algorithms import grpo
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, spec_of, tiny_train, tiny_weights
from tests.support.ranks import RunRanks

pytestmark = pytest.mark.torch

Trained = tuple[list[dict[str, float]], Tensor, dict[str, Tensor]]


def layout(**sizes: Any) -> Parallel[Never]:
    alone: dict[str, Any] = {"tp": 1, "sp": False, "pp": 1, "vpp": 1, "cp": 1, "ep": 1, "etp": 1, "dp": 1}
    return Parallel(**{**alone, **sizes})


def spec_with(
    *, settings: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **changes: Any
) -> TrainerSpec:
    engine = TrainEngine(name="fsdp2", version=OFF, fsdp2=Fsdp2(**settings or {}))
    return spec_of(**{"train": tiny_train(engine=engine, **train or {}), **changes})


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


LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dp2": ({"dp": 2}, {}),
    "dp4": ({"dp": 4}, {}),
    "hsdp": ({"dp": 4}, {"dp_replicate_size": 2}),
    "tp2": ({"tp": 2}, {}),
    "tp2-sp": ({"tp": 2, "sp": True}, {}),
    "tp2-dp2": ({"tp": 2, "dp": 2}, {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_trains_as_one_process_does(name: str, run_ranks: RunRanks) -> None:
    sizes, settings = LAYOUTS[name]
    spec = spec_with(settings=settings, keep_reference=True, params=policy_params(entropy_coef=0.01))
    parallel = layout(**sizes)
    expected = trained(TorchTrainer(spec, grpo, tiny_weights(spec.model)))
    every = run_ranks(parallel.dp * parallel.cp * parallel.tp, trained_on_a_rank, spec, parallel)
    assert_same(every[0], expected)
    assert all(found[0] == every[0][0] and found[1].equal(every[0][1]) for found in every)
