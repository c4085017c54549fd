"""Every algorithm with settings, and with what its paper says of a token and of a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from torch import Tensor

from compiler.ir.algorithm import (
    AdvantageEstimationAlgo,
    Algo,
    Critic,
    GreedyBaselineAlgo,
    GroupRelativeAlgo,
    ReturnsAlgo,
    SeveralRewardsAlgo,
    TeacherAlgo,
)
from compiler.ir.loss import (
    KL,
    DistillationLoss,
    LikelihoodLoss,
    Mismatch,
    PenalizedLoss,
    PenaltyKL,
    PreferenceLoss,
    RatioLoss,
    Rejection,
)
from stdlib.algorithms import rloo, sapo
from stdlib.algorithms._terms import Experience
from tests.stdlib.algorithms import naive
from tests.stdlib.algorithms.terms import clipped_loss, policy_loss
from tests.stdlib.algorithms.test_distillation import teacher

_K3 = KL(estimator="k3", coef=0.3)
_TERMS: dict[str, Any] = {"entropy_coef": 0.1, "kl": _K3}
_PARTS: dict[str, Any] = {"constant_tokens": 8, "mismatch": Mismatch(), "rejection": Rejection(), **_TERMS}
_GROUPS = GroupRelativeAlgo(name="of groups")


class Case(NamedTuple):
    """An algorithm's settings, and what its paper says: the loss of terms, and of a rollout the advantages."""

    algo: Any
    loss: Callable[[str], Any]
    naive_loss: Callable[..., Tensor]
    naive_advantages: Callable[[Experience], list[float]] | None = None
    critic: Any = None
    teacher: Any = None
    terms: str | None = None  # their kind, where it is not the algorithm's


def _policy(surrogate: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return partial(naive.policy, surrogate=surrogate)


def _of_samples(of_sample: Callable[[Experience, int], float]) -> Callable[[Experience], list[float]]:
    return partial(naive.over_tokens, of_sample=of_sample)


def _clipped(reduction: Any) -> Any:
    return clipped_loss(clip_low=0.2, clip_high=0.28, reduction=reduction, **_TERMS)


def _penalized(reduction: Any) -> Any:
    parts: dict[str, Any] = {**vars(_clipped(reduction)), "kl": PenaltyKL(estimator="k3", coef=0.3)}
    return PenalizedLoss(**parts)


def _ratio(reduction: Any) -> Any:
    return RatioLoss(clip_low=0.3, clip_high=0.28, reduction=reduction, **_PARTS)


def _soft(reduction: Any) -> Any:
    return sapo.SoftLoss(gate_positive=1.2, gate_negative=1.6, reduction=reduction, **_PARTS)


def _likelihood(reduction: Any) -> Any:
    return LikelihoodLoss(reduction=reduction)


def _mixture(reduction: Any) -> Any:
    return DistillationLoss(divergence="mixed", forward_weight=0.3, reduction=reduction)


def _pairs(_: str) -> Any:
    return PreferenceLoss(beta=0.4, sft_coef=0.3)


def _plain(reduction: Any) -> Any:
    return policy_loss(reduction=reduction, **_TERMS)


CASES: Mapping[str, Case] = {
    "grpo": Case(_GROUPS, _clipped, _policy(naive.clipped), _of_samples(naive.group_advantage)),
    "gspo": Case(_GROUPS, _clipped, _policy(naive.clipped_sequence), _of_samples(naive.group_advantage)),
    "cispo": Case(_GROUPS, _ratio, _policy(naive.weighted), _of_samples(naive.group_advantage)),
    "sapo": Case(_GROUPS, _soft, _policy(naive.gated), _of_samples(naive.group_advantage)),
    "rloo": Case(
        rloo.LeaveOneOutAlgo(name="rloo"), _plain, _policy(naive.reinforce), _of_samples(naive.others_advantage)
    ),
    "remax": Case(
        GreedyBaselineAlgo(name="remax"), _plain, _policy(naive.reinforce), _of_samples(naive.greedy_advantage)
    ),
    "gdpo": Case(
        SeveralRewardsAlgo(name="gdpo"), _clipped, _policy(naive.clipped), _of_samples(naive.several_advantage)
    ),
    "reinforce_plus_plus": Case(
        ReturnsAlgo(name="reinforce_plus_plus", gamma=0.9),
        _penalized,
        _policy(naive.clipped),
        partial(naive.returns, gamma=0.9),
    ),
    "ppo": Case(
        AdvantageEstimationAlgo(name="ppo", gamma=0.9, lam=0.8),
        _penalized,
        _policy(naive.clipped),
        partial(naive.estimated, gamma=0.9, lam=0.8),
        critic=Critic(lr=1e-3, value_clip=0.3),
    ),
    "opd": Case(
        TeacherAlgo(name="opd", teacher_coef=0.7),
        _clipped,
        _policy(naive.clipped),
        partial(naive.taught, coef=0.7),
        teacher=teacher(),
        terms="policy",
    ),
    "distillation": Case(Algo(name="distillation"), _mixture, naive.mixture, teacher=teacher()),
    "sft": Case(Algo(name="sft"), _likelihood, naive.likelihood),
    "dpo": Case(Algo(name="dpo"), _pairs, naive.preference),
}


def params_of(name: str, reduction: str) -> Any:
    case, module = CASES[name], import_module(f"stdlib.algorithms.{name}")
    roles = {"critic": case.critic, "teacher": case.teacher}
    more: dict[str, Any] = {role: spec for role, spec in roles.items() if spec is not None}
    return module.Params(algo=case.algo, loss=case.loss(reduction), **more)
