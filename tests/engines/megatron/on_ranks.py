"""What tests run on every rank: the trainer of a plan, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Never

import torch.distributed as dist
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import AlgorithmParams
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from stdlib.samples import TrainBatch
from tests.engines.megatron.plans import Launch


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a trainer says before, in and after some steps."""

    logprobs: Tensor
    metrics: list[Mapping[str, float]] = field(default_factory=list)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


def answers(trainer: Any, batches: Sequence[TrainBatch], *, refers: bool = False) -> Answers:
    """Return what a trainer, of whichever backend, says.

    Args:
        refers: whether it has a reference, which is then asked for before each step, and follows behind the first one.
    """
    logprobs = trainer.logprobs(batches[0], of="policy") if batches else Tensor()
    metrics: list[Mapping[str, float]] = []
    for batch in batches:
        asked = replace(batch, ref_logprobs_T=trainer.logprobs(batch, of="reference")) if refers else batch
        metrics.append(trainer.step(asked))
        if refers and len(metrics) == 1:
            trainer.refresh_reference()
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
    algorithm_name: str = "grpo"
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Tensor] | None = None

    @property
    def spec(self) -> TrainerSpec:
        """What a trainer is built from."""
        return self.launch.spec(self.params, **self.changes)

    @property
    def refers(self) -> bool:
        """Whether the trainer has a reference."""
        return bool(self.changes.get("keep_reference"))

    def alone(self) -> Answers:
        """Return what the trainer of one process says to the same."""
        trainer = TorchTrainer(self.spec, self.algorithm, self.weights)
        if self.start is not None:
            trainer.load_state(self.start)
        return answers(trainer, self.batches, refers=self.refers)

    @property
    def algorithm(self) -> Any:
        """The module of the algorithm."""
        return import_module(f"stdlib.algorithms.{self.algorithm_name}")


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
    found = answers(trainer, case.batches, refers=case.refers)
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, (found.logprobs, found.metrics))
    assert all(logprobs.equal(found.logprobs) and metrics == found.metrics for logprobs, metrics in everyone)
    return found if dist.get_rank() == 0 else None


def refused(case: Case) -> tuple[str, tuple[str, ...]]:
    """Return code and paths of the diagnostic with which the trainer is not built."""
    try:
        trainer_on_rank(case)
    except SpecError as error:
        return error.diagnostics[0].code, error.diagnostics[0].paths
    raise AssertionError("the trainer was built")
