"""Group reward-decoupled normalisation: several rewards, each compared within the group by itself, then added up.

Added up first, rewards of different scale or rarity drown each other: different mixtures come to one advantage.
Paper: GDPO, arXiv:2601.05242, eq. 4 to 6.  Each reward is one of `[[reward.terms]]`; its weight is applied to its
advantage.  The surrogate is PPO's.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import AlgorithmParams, SeveralRewardsAlgo
from compiler.ir.loss import ClippedLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import finished, group_advantages, of_groups, over_tokens
from stdlib.algorithms._ops import clipped_surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What GDPO reads of a spec."""

    algo: SeveralRewardsAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: ClippedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return the weighted sum of each reward's group advantages, normalised over the samples of the rollout."""
    algo, mask_T = params.algo, experience.mask_T
    if experience.own_advantages_T is not None:
        return of_groups(experience, algo)
    if not experience.reward_terms:
        raise InternalError("gdpo: the samples have no rewards by name")
    found_N = experience.rewards_N.new_zeros(experience.rewards_N.shape)
    for label, rewards_N in experience.reward_terms.items():
        found_N = found_N + experience.term_weights[label] * group_advantages(rewards_N, experience.group_N, algo)
    if algo.normalize_batch and len(found_N) > 1:
        found_N = (found_N - found_N.mean()) / (found_N.std(unbiased=True) + algo.std_eps)
    return Advantages(finished(over_tokens(found_N, mask_T, experience.sequence_T), mask_T, algo))


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of clipped surrogate - entropy_coef * entropy + kl.coef * KL."""
    advantages_T = kept(terms.advantages_T, terms.mask_T)
    surrogate = clipped_surrogate(log_ratios(terms, params.loss), advantages_T, params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)
