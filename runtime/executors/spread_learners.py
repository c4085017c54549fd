"""Builds what a stage trains in each process of several, where torch.distributed has brought them together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import ScoreLoss
from compiler.ir.machine import Parallel
from compiler.ir.openness import Off
from runtime.engines.train.fixed import FixedWeights
from runtime.executors.inline import Learners, algorithm_of, critic_spec, trainer_spec
from runtime.weights.teacher import teacher_weights

if TYPE_CHECKING:
    from torch import Tensor

    from runtime.engines.train.fsdp2 import Fsdp2Critic


def build_spread_learners(
    experiment: Experiment[Never], stage: Stage[Never], weights: Mapping[str, Tensor], *, root: Path
) -> Learners:
    """Return this process's part of what a stage trains; it starts from `weights`.

    Raises: SpecError as making a trainer does.
    """
    from runtime.engines.train.fsdp2 import Fsdp2RewardModel, Fsdp2Trainer

    if not isinstance(stage.debug, Off) and stage.debug.mode == "rollout_only":
        return Learners(FixedWeights(experiment.model, weights), None)
    parallel, algorithm, spec = _parallel(experiment), algorithm_of(stage), trainer_spec(experiment, stage)
    if isinstance(stage.algorithm.loss, ScoreLoss):
        return Learners(None, Fsdp2RewardModel(spec, parallel, algorithm, weights))
    params, taught = stage.algorithm, None
    if isinstance(params, TaughtParams):
        taught = teacher_weights(params.teacher, root=root, seed=experiment.run.seed)
    return Learners(Fsdp2Trainer(spec, parallel, algorithm, weights, taught), None)


def build_spread_critic(
    experiment: Experiment[Never], stage: Stage[Never], weights: Mapping[str, Tensor]
) -> Fsdp2Critic:
    """Return this process's part of the critic of a stage that has one; its trunk starts from `weights`."""
    from runtime.engines.train.fsdp2 import Fsdp2Critic

    params = stage.algorithm
    assert isinstance(params, ActorCriticParams), "only such a stage has a critic"
    spec = critic_spec(trainer_spec(experiment, stage), stage, params.critic)
    return Fsdp2Critic(spec, _parallel(experiment), params.critic, algorithm_of(stage), weights)


def _parallel(experiment: Experiment[Never]) -> Parallel[Never]:
    if isinstance(experiment.parallel, Off):
        raise InternalError("what is spread over ranks has [parallel]")
    return experiment.parallel
