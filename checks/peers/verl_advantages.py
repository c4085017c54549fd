"""Advantages of `verl.trainer.ppo.core_algos`, each beside ours with the settings that give the same."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from verl.trainer.ppo import core_algos

from checks.peers.batches import Batch, draw, experience_of, rewards_at_the_end
from checks.peers.ledger import Ledger
from checks.peers.settings import clipped_loss, penalized_loss, policy_loss
from compiler.ir.algorithm import (
    AdvantageEstimationAlgo,
    Critic,
    GreedyBaselineAlgo,
    GroupRelativeAlgo,
    ReturnsAlgo,
    SeveralRewardsAlgo,
)
from stdlib.algorithms import gdpo, grpo, ppo, reinforce_plus_plus, remax, rloo
from stdlib.algorithms._terms import Experience

# Groups of one that are left their reward are divided by 1 + 1e-6 there.
_ALONE = 1e-5


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the advantages of one draw against each other."""
    batch = draw(seed)
    _group_relative(ledger, batch, "")
    _group_relative(ledger, draw(seed, groups=5, samples=1), ", groups of one")
    _returns(ledger, batch, gamma=0.9)
    _greedy(ledger, batch)
    _several(ledger, batch)
    _estimated(ledger, batch, gamma=0.97, lam=0.9)


def _group_relative(ledger: Ledger, batch: Batch, kind: str) -> None:
    rewards_BL, index = rewards_at_the_end(batch), batch.group_B.numpy()
    experience = experience_of(batch)
    for normalize in (True, False):
        algo = GroupRelativeAlgo(name="grpo", normalize_std=normalize, group_of_one="reward")
        ours = grpo.advantages(grpo.Params(algo=algo, loss=clipped_loss()), experience).advantages_T
        for vectorized in ("", "vectorized_"):
            function: Callable[..., tuple[Tensor, Tensor]]
            function = getattr(core_algos, f"compute_grpo_{vectorized}outcome_advantage")
            theirs = function(rewards_BL.clone(), batch.mask_BL, index, norm_adv_by_std_in_grpo=normalize)[0]
            name = f"verl {function.__name__}, std {normalize}{kind}"
            # The vectorized one computes in float32.
            ledger.compare(
                name, ours.view_as(theirs), theirs, tolerance=1e-5 if vectorized else 1e-6 + _ALONE * bool(kind)
            )
    for function, alone in (
        (core_algos.compute_rloo_outcome_advantage, "reward"),
        (core_algos.compute_rloo_vectorized_outcome_advantage, "zero"),
    ):
        algo = rloo.LeaveOneOutAlgo(name="rloo", group_of_one=alone)
        ours = rloo.advantages(rloo.Params(algo=algo, loss=policy_loss()), experience).advantages_T
        theirs = function(rewards_BL.clone(), batch.mask_BL, index)[0]
        ledger.compare(f"verl {function.__name__}{kind}", ours.view_as(theirs), theirs)
    function = core_algos.compute_reinforce_plus_plus_baseline_outcome_advantage
    theirs = function(rewards_BL.clone(), batch.mask_BL, index)[0]
    ours = _plus_plus(experience, group_baseline=True, group_of_one="reward")
    ledger.compare(f"verl {function.__name__}{kind}", ours.view_as(theirs), theirs)


def _plus_plus(experience: Experience, **algo: Any) -> Tensor:
    settings = ReturnsAlgo(name="reinforce_plus_plus", **algo)
    loss = penalized_loss()
    return reinforce_plus_plus.advantages(reinforce_plus_plus.Params(algo=settings, loss=loss), experience).advantages_T


def _returns(ledger: Ledger, batch: Batch, *, gamma: float) -> None:
    function = core_algos.compute_reinforce_plus_plus_outcome_advantage
    theirs = function(rewards_at_the_end(batch), batch.mask_BL, config=SimpleNamespace(gamma=gamma))[0]
    ours = _plus_plus(experience_of(batch), gamma=gamma)
    ledger.compare(f"verl {function.__name__}", ours.view_as(theirs), theirs)


def _greedy(ledger: Ledger, batch: Batch) -> None:
    function, baselines_B = core_algos.compute_remax_outcome_advantage, batch.rewards_B.roll(1)
    theirs = function(rewards_at_the_end(batch), baselines_B, batch.mask_BL)[0] * batch.mask_BL
    params = remax.Params(algo=GreedyBaselineAlgo(name="remax"), loss=policy_loss())
    ours = remax.advantages(params, experience_of(batch)._replace(baselines_N=baselines_B)).advantages_T
    # Theirs is a sum of what follows: behind the last unmasked token nothing does.
    ledger.compare(f"verl {function.__name__}", ours.view_as(theirs), theirs)


def _several(ledger: Ledger, batch: Batch) -> None:
    function, rows = core_algos.compute_gdpo_outcome_advantage, len(batch.rewards_B)
    rewards = {"right": batch.rewards_B, "short": batch.rewards_B.roll(1) * 3.0 + 1.0}
    weights = {"right": 1.5, "short": 0.5}
    theirs = function(
        rewards_at_the_end(batch),
        batch.mask_BL,
        batch.group_B.numpy(),
        config={"gdpo_reward_keys": list(rewards), "gdpo_reward_weights": list(weights.values())},
        non_tensor_batch={name: rewards_B.numpy() for name, rewards_B in rewards.items()},
        batch={"prompts": torch.zeros(rows, 2), "attention_mask": torch.ones(rows, 3, dtype=torch.int64)},
    )[0]
    algo = SeveralRewardsAlgo(name="gdpo", normalize_batch=False, whiten=True)
    experience = experience_of(batch)._replace(reward_terms=rewards, term_weights=weights)
    ours = gdpo.advantages(gdpo.Params(algo=algo, loss=clipped_loss()), experience).advantages_T
    ledger.compare(f"verl {function.__name__}", ours.view_as(theirs), theirs, tolerance=1e-5)  # float32


def _estimated(ledger: Ledger, batch: Batch, *, gamma: float, lam: float) -> None:
    function = core_algos.compute_gae_advantage_return
    advantages_BL, returns_BL = function(rewards_at_the_end(batch), batch.values_BL, batch.mask_BL, gamma, lam)
    algo = AdvantageEstimationAlgo(name="ppo", gamma=gamma, lam=lam)
    loss = penalized_loss()
    found = ppo.advantages(ppo.Params(algo=algo, loss=loss, critic=Critic(lr=1e-3)), experience_of(batch))
    assert found.returns_T is not None
    name = f"verl {function.__name__}"
    ledger.compare(name, found.advantages_T.view_as(advantages_BL), advantages_BL * batch.mask_BL)
    ledger.compare(f"{name}, returns", found.returns_T.view_as(returns_BL), returns_BL * batch.mask_BL)
