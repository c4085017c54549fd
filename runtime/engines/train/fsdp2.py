"""Trainers on PyTorch's FSDP2: the torch trainer's steps, with weights and batches spread over ranks.

Every rank makes the same calls with the same arguments, and has the same answers.  State goes by the names of the torch
trainer and holds whole tensors, so that each of both, on any number of ranks, goes on from what the other has saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Never

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.algorithm import Critic
from compiler.ir.machine import Parallel
from compiler.ir.openness import Off
from runtime.engines.train.critic import TorchCritic
from runtime.engines.train.fsdp2_spread import Fsdp2Spread
from runtime.engines.train.reward_model import TorchRewardModel
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from stdlib.algorithms._terms import Algorithm, CriticAlgorithm


class Fsdp2Trainer(TorchTrainer):
    """Implements runtime.protocols.Trainer on every rank of torch.distributed; `state` is empty on all but the first.

    Args:
        parallel: how ranks are spread; all of them are there.
        weights: initial weights by Hugging Face name; read one layer at a time.

    Raises: SpecError RLC0640 if weights do not fit their model; RLC0776 if there are other ranks than the plan has;
    RLC0777 if layers that predict further tokens would have to be split.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        parallel: Parallel[Never],
        algorithm: Algorithm,
        weights: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not isinstance(spec.train.mtp, Off) and parallel.tp * parallel.cp > 1:
            raise SpecError(_not_split(parallel))
        super().__init__(spec, algorithm, weights, teacher, spread=Fsdp2Spread(spec.train, parallel))


class Fsdp2RewardModel(TorchRewardModel):
    """Implements runtime.protocols.Scorer likewise."""

    def __init__(
        self, spec: TrainerSpec, parallel: Parallel[Never], algorithm: Algorithm, weights: Mapping[str, Tensor]
    ) -> None:
        super().__init__(spec, algorithm, weights, spread=Fsdp2Spread(spec.train, parallel))


class Fsdp2Critic(TorchCritic):
    """Implements runtime.protocols.Critic likewise."""

    def __init__(
        self,
        spec: TrainerSpec,
        parallel: Parallel[Never],
        critic: Critic,
        algorithm: CriticAlgorithm,
        weights: Mapping[str, Tensor],
    ) -> None:
        super().__init__(spec, critic, algorithm, weights, spread=Fsdp2Spread(spec.train, parallel))


def _not_split(parallel: Parallel[Never]) -> Diagnostic:
    return Diagnostic(
        "RLC0777",
        f"train.mtp trains layers that are not split, and parallel.tp = {parallel.tp}, parallel.cp = {parallel.cp}",
        help=(
            Help("set parallel.tp = 1 and parallel.cp = 1", sets=(("parallel.tp", "1"), ("parallel.cp", "1"))),
            Help("or leave train.mtp out"),
        ),
        paths=("train.mtp", "parallel.tp", "parallel.cp"),
    )
