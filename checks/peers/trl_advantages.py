"""Advantages of TRL's trainers, which really sample, beside ours."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from checks.peers import trl_trainers
from checks.peers.batches import draw
from checks.peers.ledger import Ledger
from checks.peers.settings import clipped_loss, policy_loss
from compiler.ir.algorithm import GroupRelativeAlgo, SeveralRewardsAlgo
from stdlib.algorithms import gdpo, grpo, rloo
from stdlib.algorithms._terms import Experience

_EPS, _PROMPTS = 1e-4, 3
_TOLERANCE = 1e-5  # theirs computes in float32


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the advantages of one draw of rewards against each other."""
    batch = draw(seed, groups=_PROMPTS, samples=4)
    others_N = batch.rewards_B.roll(1) * 3.0 + 1.0
    experience = Experience(
        rewards_N=batch.rewards_B,
        group_N=batch.group_B,
        mask_T=torch.ones_like(batch.rewards_B),
        sequence_T=torch.arange(len(batch.rewards_B)),
        reward_terms={"one": batch.rewards_B, "two": others_N},
        term_weights={"one": 1.5, "two": 0.5},
    )
    for scale, algo in (
        ("group", GroupRelativeAlgo(name="grpo", std_eps=_EPS)),
        ("none", GroupRelativeAlgo(name="grpo", normalize_std=False)),
    ):
        ours = grpo.advantages(grpo.Params(algo=algo, loss=clipped_loss()), experience).advantages_T
        theirs = _theirs(_grpo(scale), batch.rewards_B)
        ledger.compare(f"trl GRPOTrainer advantages, scale_rewards {scale}", ours, theirs, tolerance=_TOLERANCE)
    algo = rloo.LeaveOneOutAlgo(name="rloo")
    ours = rloo.advantages(rloo.Params(algo=algo, loss=policy_loss()), experience).advantages_T
    ledger.compare("trl RLOOTrainer advantages", ours, _theirs(_rloo(), batch.rewards_B), tolerance=_TOLERANCE)
    algo = SeveralRewardsAlgo(name="gdpo", std_eps=_EPS)
    ours = gdpo.advantages(gdpo.Params(algo=algo, loss=clipped_loss()), experience).advantages_T
    theirs = _theirs(_several(), batch.rewards_B, others_N)
    ledger.compare("trl GRPOTrainer advantages, normalize_then_sum", ours, theirs, tolerance=_TOLERANCE)


def _theirs(trainer: tuple[Any, list[trl_trainers.GivenRewards]], *rewards: torch.Tensor) -> torch.Tensor:
    for function, rewards_N in zip(trainer[1], rewards, strict=True):
        function.rewards = rewards_N.tolist()
    return trl_trainers.advantages(trainer[0], _PROMPTS)


@cache
def _grpo(scale: str) -> tuple[Any, list[trl_trainers.GivenRewards]]:
    given = trl_trainers.GivenRewards()
    return trl_trainers.grpo(given, scale_rewards=scale), [given]


@cache
def _rloo() -> tuple[Any, list[trl_trainers.GivenRewards]]:
    given = trl_trainers.GivenRewards()
    return trl_trainers.rloo(given), [given]


@cache
def _several() -> tuple[Any, list[trl_trainers.GivenRewards]]:
    given = [trl_trainers.GivenRewards(), trl_trainers.GivenRewards()]
    settings = {"multi_objective_aggregation": "normalize_then_sum", "reward_weights": [1.5, 0.5]}
    return trl_trainers.grpo(given, **settings), given
