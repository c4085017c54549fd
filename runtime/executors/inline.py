"""The inline executor: every actor of a stage in this process, on its one device.

The place where names of a plan meet the classes that they stand for; another executor puts the same classes into
processes of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Never, ParamSpec, TypeVar

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.algorithm import Critic as CriticSettings
from compiler.ir.evaluated import sampled_sets
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import ScoreLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.training import PolicyTrain
from runtime.engines.rollout.native.engine import Memory, NativeEngine
from runtime.engines.train.critic import TorchCritic
from runtime.engines.train.fixed import FixedWeights
from runtime.engines.train.reward_model import TorchRewardModel
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.logprob_gap import token_bound_of
from runtime.rewards.runner import RewardRunner
from runtime.weights.initial import initial_weights
from runtime.weights.prediction_layers import are_held, held_model
from runtime.weights.sync import sync_weights
from runtime.weights.teacher import teacher_weights

if TYPE_CHECKING:
    from torch import Tensor

    from runtime.protocols import Critic, Learner, RolloutEngine, SavesApart, Scorer, SendsWeights, Trainer

P = ParamSpec("P")
T = TypeVar("T")

_ROLLOUT_ENGINES = {"native": NativeEngine}
_TRAINERS = {"torch": TorchTrainer}
_SCORERS = {"torch": TorchRewardModel}


class Learners(NamedTuple):
    """What a stage trains: a policy, or a reward model."""

    policy: Trainer | None
    scorer: Scorer | None

    @property
    def trained(self) -> Learner:
        """The one of them that there is."""
        found = self.policy or self.scorer
        if found is None:
            raise InternalError("a stage trains something")
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Actors:
    """The actors of one stage.  A stage that neither samples nor evaluates has no engine and no reward, one that
    learns from a teacher needs none, and an algorithm without a critic has none either.

    `algorithm` is the module of stdlib/algorithms/ that the trainer was built with; `set_rewards` judge held-out sets,
    by name, that have a reward of their own.  `overlap` says whether engines go on while the trainer works, as they do
    where they are not in its process.  `send_weights` gives the engine, where there is one, what is trained.
    `apart` are those that write their part of a checkpoint themselves: where there are some, all that are trained.
    """

    learners: Learners
    critic: Critic | None
    engine: RolloutEngine | None
    send_weights: SendsWeights | None
    reward: RewardRunner | None
    algorithm: Any
    set_rewards: Mapping[str, RewardRunner]
    overlap: bool = False
    apart: Sequence[SavesApart] = ()

    async def carry_out(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what work of the trainer returns; in a thread where other actors go on meanwhile."""
        return await asyncio.to_thread(work, *args, **kwargs) if self.overlap else work(*args, **kwargs)

    @property
    def learner(self) -> Learner:
        """What is trained."""
        return self.learners.trained

    def trained_policy(self) -> Trainer:
        """Return the trainer of the policy.  Raises: InternalError where a reward model is trained."""
        if self.learners.policy is None:
            raise InternalError("a reward model has no log-probs")
        return self.learners.policy

    def rewards(self) -> tuple[RewardRunner, ...]:
        """Return all that judge."""
        return (*([] if self.reward is None else [self.reward]), *self.set_rewards.values())

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by flat names."""
        return self.learner.state() | (self.critic.state() if self.critic is not None else {})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned.  Raises: SpecError RLC0644 if it is not that of these actors."""
        if self.critic is None:
            self.learner.load_state(state)
            return
        self.learner.load_state({name: t for name, t in state.items() if not name.startswith("critic")})
        self.critic.load_state({name: t for name, t in state.items() if name.startswith("critic")})


def build_actors(
    experiment: Experiment[Never], stage: Stage[Never], weights: Mapping[str, Tensor], *, root: Path
) -> Actors:
    """Return the actors that a stage asks for; the trainer starts from `weights`."""
    learners = build_learners(experiment, stage, weights, root=root)
    engine = build_engine(experiment, stage) if samples(stage) else None
    return Actors(
        learners=learners,
        critic=build_critic(experiment, stage, weights) if has_critic(stage) else None,
        engine=engine,
        send_weights=partial(sync_weights, learners.trained, engine) if engine is not None else None,
        reward=build_reward(stage, root=root),
        algorithm=algorithm_of(stage),
        set_rewards=build_set_rewards(stage, root=root),
    )


def samples(stage: Stage[Never]) -> bool:
    """Whether a stage generates anything, be it only to be measured."""
    return _mode(stage) != "train_only" or bool(sampled_sets(stage.eval))


def build_reward(stage: Stage[Never], *, root: Path) -> RewardRunner | None:
    """Return what judges the samples of a stage, where there are some."""
    return None if isinstance(stage.reward, Off) or not samples(stage) else RewardRunner(stage.reward, root=root)


def has_critic(stage: Stage[Never]) -> bool:
    """Whether a stage trains a critic."""
    return isinstance(stage.algorithm, ActorCriticParams) and _mode(stage) != "rollout_only"


def build_critic(experiment: Experiment[Never], stage: Stage[Never], weights: Mapping[str, Tensor]) -> TorchCritic:
    """Return the critic of a stage that has one; its trunk starts from `weights`."""
    params = stage.algorithm
    assert isinstance(params, ActorCriticParams), "only such a stage has a critic"
    spec = critic_spec(trainer_spec(experiment, stage), stage, params.critic)
    return TorchCritic(spec, params.critic, algorithm_of(stage), weights)


def build_learners(
    experiment: Experiment[Never], stage: Stage[Never], weights: Mapping[str, Tensor], *, root: Path
) -> Learners:
    """Return what a stage trains; it starts from `weights`."""
    if _mode(stage) == "rollout_only":
        return Learners(FixedWeights(experiment.model, weights), None)
    algorithm, spec, engine = algorithm_of(stage), trainer_spec(experiment, stage), stage.train.engine.name
    if isinstance(stage.algorithm.loss, ScoreLoss):
        return Learners(None, _SCORERS[engine](spec, algorithm, weights))
    params, taught = stage.algorithm, None
    if isinstance(params, TaughtParams):
        taught = teacher_weights(params.teacher, root=root, seed=experiment.run.seed)
    return Learners(_TRAINERS[engine](spec, algorithm, weights, taught), None)


def weights_at_the_start(experiment: Experiment[Never], *, root: Path) -> dict[str, Tensor]:
    """Return the weights that a run starts from.  Raises: SpecError RLC0617 to RLC0620 as initial_weights."""
    is_reward_model = isinstance(experiment.stages[0].algorithm.loss, ScoreLoss)
    seed = experiment.run.seed
    predicts = are_held(experiment)
    return initial_weights(experiment.model, root=root, seed=seed, is_reward_model=is_reward_model, predicts=predicts)


def rewards_of(stage: Stage[Never]) -> list[Reward[Never]]:
    """Return what a stage judges with: its own reward, and those of held-out sets that have one."""
    sets = sampled_sets(stage.eval)
    return [reward for reward in (stage.reward, *(s.reward for s in sets)) if not isinstance(reward, Off)]


def num_drafts(rollout: Generation[Never]) -> int:
    """Return how many tokens are drafted for each sequence and pass."""
    return 0 if isinstance(rollout.speculation, Off) else rollout.speculation.num_draft_tokens


def build_engine(experiment: Experiment[Never], stage: Stage[Never]) -> RolloutEngine | None:
    """Return the engine that a stage samples with; it holds no weights yet."""
    if isinstance(stage.rollout, Off):
        return None
    rollout = stage.rollout
    limits = (rollout.concurrency * rollout.max_context_tokens, rollout.max_context_tokens)
    given = (rollout.engine.cache_tokens, rollout.engine.prefill_tokens)
    cache_tokens, prefill_tokens = (b if isinstance(a, Off) else a for a, b in zip(given, limits, strict=True))
    return _ROLLOUT_ENGINES[rollout.engine.name](
        held_model(experiment),
        concurrency=rollout.concurrency,
        max_context_tokens=rollout.max_context_tokens,
        memory=Memory(cache_tokens, prefill_tokens, num_drafts(rollout)),
        deterministic=rollout.engine.deterministic,
        returns_experts=isinstance(stage.train, PolicyTrain) and stage.train.routing_replay == "rollout",
    )


def build_set_rewards(stage: Stage[Never], *, root: Path) -> dict[str, RewardRunner]:
    """Return, by name of a held-out set, what judges it where that is not the reward of the stage."""
    sets = sampled_sets(stage.eval)
    return {s.name: RewardRunner(s.reward, root=root) for s in sets if not isinstance(s.reward, Off)}


def critic_spec(spec: TrainerSpec, stage: Stage[Never], critic: CriticSettings) -> TrainerSpec:
    """What a critic is trained with: a rate of its own, and a horizon that its warm-up alone belongs to."""
    train, optim = stage.train, spec.optim
    alone = critic.warmup_rollouts
    if isinstance(train, PolicyTrain):
        alone *= train.steps_per_rollout * train.epochs_per_rollout
    return replace(spec, optim=optim.replacing(lr=critic.lr, total_steps=optim.total_steps + alone))


def _mode(stage: Stage[Never]) -> str:
    return "full" if isinstance(stage.debug, Off) else stage.debug.mode


def algorithm_of(stage: Stage[Never]) -> Any:
    """Return the module of stdlib/algorithms/ that a stage learns by."""
    return import_module(f"stdlib.algorithms.{stage.algorithm.algo.name}")


def trainer_spec(experiment: Experiment[Never], stage: Stage[Never]) -> TrainerSpec:
    """Return what a trainer of a stage is made with."""
    rollout = stage.rollout
    return TrainerSpec(
        model=experiment.model,
        train=stage.train,
        optim=stage.optim,
        params=stage.algorithm,
        temperature=rollout.sampling.temperature if isinstance(rollout, Rollout) else 1.0,
        keep_reference=not isinstance(stage.reference, Off),
        seed=stage.seeds.minibatch,
        gap_token_bound=token_bound_of(stage),
    )
