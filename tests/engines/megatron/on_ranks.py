"""What tests run on every rank: the trainer of a plan, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Never

import torch.distributed as dist
from torch import Tensor

from compiler.ir.algorithm import AlgorithmParams
from runtime.engines.train.torch_ import TrainerSpec
from stdlib.samples import TrainBatch
from tests.engines.megatron.plans import Launch


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a trainer says before, in and after some steps."""

    logprobs: Tensor
    metrics: list[Mapping[str, float]] = field(default_factory=list)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


def answers(trainer: Any, batches: Sequence[TrainBatch]) -> Answers:
    """Return what a trainer, of whichever backend, says."""
    logprobs = trainer.logprobs(batches[0], of="policy") if batches else Tensor()
    metrics = [trainer.step(batch) for batch in batches]
    return Answers(
        logprobs=logprobs,
        metrics=metrics,
        weights={name: tensor.clone() for name, tensor in trainer.named_weights()},
        state=trainer.state(),
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained: a plan, the algorithm's settings, initial weights, and batches of one step each.

    `changes` are those of the trainer's spec; `start` is the state of another trainer, to go on from.
    """

    launch: Launch
    params: AlgorithmParams[Never]
    weights: Mapping[str, Tensor]
    batches: Sequence[TrainBatch]
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Tensor] | None = None

    @property
    def spec(self) -> TrainerSpec:
        """What a trainer is built from."""
        return self.launch.spec(self.params, **self.changes)

    @property
    def algorithm(self) -> Any:
        """The module of the algorithm."""
        return import_module(f"stdlib.algorithms.{self.params.algo.name}")


def trainer_on_rank(case: Case) -> Any:
    """Return the trainer of this rank."""
    import_module("tests.support.megatron_cpu")
    import_module("megatron.core.parallel_state").destroy_model_parallel()
    made = import_module("runtime.engines.train.megatron.trainer").MegatronTrainer
    launch = case.launch
    return made(case.spec, launch.parallel, case.algorithm, case.weights, records=launch.records)


def trained(case: Case) -> Answers | None:
    """Return what the ranks' trainer says, on rank 0; on the others what they say is held equal to it."""
    trainer = trainer_on_rank(case)
    if case.start is not None:
        trainer.load_state(case.start)
    found = answers(trainer, case.batches)
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, (found.logprobs, found.metrics))
    assert all(logprobs.equal(found.logprobs) and metrics == found.metrics for logprobs, metrics in everyone)
    return found if dist.get_rank() == 0 else None
