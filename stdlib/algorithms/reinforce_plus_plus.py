"""REINFORCE++: every token's return, normalised over the whole batch, in the clipped surrogate of PPO.

No critic and, in the plain form, no group: r_t = -kl.coef * KL_t, and the reward at the last token.  With
`algo.group_baseline` the mean of the group is taken off first and the penalty of each token is its own alone.
Paper: REINFORCE++, arXiv:2501.03262, eq. 6 to 9 (plain) and section 3.3 (baseline).
A group of one has a baseline equal to its reward, unless `algo.group_of_one` says otherwise.

Shape letters: T tokens, N samples, S steps.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import AlgorithmParams, ReturnsAlgo
from compiler.ir.loss import PenalizedLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import above_group_mean, finished, over_tokens
from stdlib.algorithms._credit import discounted_returns, step_rewards, steps_of
from stdlib.algorithms._ops import clipped_surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What REINFORCE++ reads of a spec."""

    algo: ReturnsAlgo = setting("Which algorithm, and how tokens share what follows them.")
    loss: PenalizedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return the discounted return of each token, or reward - group mean - penalty of each, whitened."""
    algo, mask_T = params.algo, experience.mask_T
    if experience.own_advantages_T is not None:
        found_T = experience.own_advantages_T
    elif algo.group_baseline:
        found_T = _above_the_group(params, experience)
    else:
        steps = steps_of(experience, algo.masked_tokens)
        returns_S = discounted_returns(step_rewards(experience, steps, params.loss.kl), steps, gamma=algo.gamma)
        found_T = mask_T.new_zeros(mask_T.shape)
        found_T[steps.tokens_S] = returns_S
    return Advantages(finished(found_T, mask_T, algo))


def _above_the_group(params: Params[Never], experience: Experience) -> Tensor:
    mask_T = experience.mask_T
    alone = params.algo.group_of_one
    above_N = above_group_mean(experience.rewards_N, experience.group_N, of_one=alone)
    found_T = over_tokens(above_N, mask_T, experience.sequence_T)
    unrewarded = experience._replace(rewards_N=experience.rewards_N.new_zeros(experience.rewards_N.shape))
    steps = steps_of(experience, "skip")
    found_T[steps.tokens_S] += step_rewards(unrewarded, steps, params.loss.kl)
    return found_T


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of the clipped surrogate, and of the KL where it is a term of the loss."""
    advantages_T = kept(terms.advantages_T, terms.mask_T)
    surrogate = clipped_surrogate(log_ratios(terms, params.loss), advantages_T, params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)
