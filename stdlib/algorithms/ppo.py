"""Proximal policy optimisation: a critic says what each token adds, and the ratio's clip bounds the step.

Papers: PPO, arXiv:1707.06347, eq. 7 and 9; generalised advantage estimation, arXiv:1506.02438; penalties of each token,
InstructGPT, arXiv:2203.02155; separate and length-adaptive lambdas, VAPO, arXiv:2504.05118.

Shape letters: T tokens, N samples, S steps.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import ActorCriticParams, AdvantageEstimationAlgo
from compiler.ir.loss import PenalizedLoss
from compiler.ir.openness import A, Off
from compiler.ir.record import setting
from stdlib.algorithms._advantages import finished
from stdlib.algorithms._credit import generalized_advantages, step_rewards, steps_of
from stdlib.algorithms._ops import clipped_surrogate, kept, log_ratios, masked_sum, policy_loss, sequence_sums
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, MetricSum, PolicyTerms, Totals, ValueTerms

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

    from compiler.ir.algorithm import Critic

KIND: Final = "policy"


class Params(ActorCriticParams[A]):
    """What PPO reads of a spec."""

    algo: AdvantageEstimationAlgo = setting("Which algorithm, and how tokens share what follows them.")
    loss: PenalizedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return generalised advantages, and the returns that the critic learns: advantage + value, before whitening.

    Advantages of the experiment's own are the policy's alone: the critic learns the same returns beside them.
    """
    algo, mask_T = params.algo, experience.mask_T
    if experience.values_T is None:
        raise InternalError("ppo: nobody said what the states are worth")
    steps = steps_of(experience, algo.masked_tokens)
    rewards_S = step_rewards(experience, steps, params.loss.kl)
    values_S = experience.values_T[steps.tokens_S]

    def estimated(lam_N: Tensor) -> Tensor:
        return generalized_advantages(rewards_S, values_S, steps, gamma=algo.gamma, lam_N=lam_N)

    found_S = estimated(_policy_lambda(algo, experience))
    learnt_S = found_S
    if not isinstance(algo.critic_lam, Off) or not isinstance(algo.length_adaptive, Off):
        lam = algo.lam if isinstance(algo.critic_lam, Off) else algo.critic_lam
        learnt_S = estimated(experience.rewards_N.new_full(experience.rewards_N.shape, lam))
    found_T, returns_T = (mask_T.new_zeros(mask_T.shape) for _ in range(2))
    if experience.own_advantages_T is None:
        found_T[steps.tokens_S] = found_S
    else:
        found_T = experience.own_advantages_T
    returns_T[steps.tokens_S] = learnt_S + values_S
    return Advantages(finished(found_T, mask_T, algo), kept(returns_T, mask_T))


def _policy_lambda(algo: AdvantageEstimationAlgo, experience: Experience) -> Tensor:
    """Return [N] lambda of each sample."""
    if isinstance(algo.length_adaptive, Off):
        return experience.rewards_N.new_full(experience.rewards_N.shape, algo.lam)
    tokens_N = experience.sampled_N
    if tokens_N is None:
        tokens_N = sequence_sums(experience.mask_T, experience.sequence_T)
    return (1.0 - 1.0 / (algo.length_adaptive * tokens_N.clamp(min=1.0))).clamp(0.0, 1.0)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of the clipped surrogate, and of the KL where it is a term of the loss."""
    advantages_T = kept(terms.advantages_T, terms.mask_T)
    surrogate = clipped_surrogate(log_ratios(terms, params.loss), advantages_T, params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)


def value_loss(critic: Critic, terms: ValueTerms, totals: Totals) -> LossOutput:
    """Return the share of loss_scale * mean of max((V - R)^2, (V_clipped - R)^2), over tokens or by sequence.

    V_clipped is V held within value_clip of the value before the first update.
    """
    mask_T = terms.mask_T
    values_T, old_T = kept(terms.values_T, mask_T), kept(terms.old_values_T, mask_T)
    returns_T = kept(terms.returns_T, mask_T)
    error_T = (values_T - returns_T) ** 2
    found_T = error_T
    if not isinstance(critic.value_clip, Off):
        near_T = old_T + (values_T - old_T).clamp(-critic.value_clip, critic.value_clip)
        found_T = error_T.maximum((near_T - returns_T) ** 2)
    share = critic.loss_scale * (found_T * _value_weights(critic, terms, totals)).sum()
    sums = {
        "value_mean": values_T,
        "return_mean": returns_T,
        "value_error": error_T,
        "value_clip_frac": (found_T > error_T).to(mask_T.dtype),
    }
    return LossOutput(share, {name: MetricSum(masked_sum(x_T, mask_T), "tokens") for name, x_T in sums.items()})


def _value_weights(critic: Critic, terms: ValueTerms, totals: Totals) -> Tensor:
    """Return [T] what the error of each token is multiplied by; sequences without a token count as zeros."""
    if critic.reduction == "token":
        return terms.mask_T / max(totals.num_tokens, 1)
    counts_N = sequence_sums(terms.mask_T, terms.sequence_T).clamp(min=1.0)
    return terms.mask_T / (counts_N[terms.sequence_T] * max(totals.num_sequences, 1))
