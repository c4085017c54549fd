"""Credit over time: what each token of a response is worth, given rewards that come later.

Shape letters: T tokens of a whole rollout, N sequences, L steps of the longest sequence.
Sources: GAE, arXiv:1506.02438, eq. 16; penalty of each token: InstructGPT, arXiv:2203.02155, section 3.5; the policy's
lambda by length: VAPO, arXiv:2504.05118, section 4.2.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Literal
from compiler.diagnostics.diagnostic import InternalError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from stdlib.algorithms._ops import kl_estimate, sequence_sums

if TYPE_CHECKING:
    from torch import Tensor

    from compiler.ir.loss import PenaltyKL
    from stdlib.algorithms._terms import Experience


class Steps(NamedTuple):
    """The tokens that are steps of an episode.

    tokens_S: [S] their indices among T, ascending; sequence_S, position_S: [S] sequence, and place in it.
    last_K: [K] index into S of the last step of each of the K sequences that have one.
    num_sequences: N, those without a step too.
    """

    tokens_S: Tensor
    sequence_S: Tensor
    position_S: Tensor
    last_K: Tensor
    num_sequences: int


def steps_of(experience: Experience, masked_tokens: Literal["skip", "between", "count"]) -> Steps:
    """Return the sampled tokens; also what stands between them, or between and after them, but never the prompt."""
    mask_T, sequence_T = experience.mask_T, experience.sequence_T
    is_step_T = mask_T != 0
    if masked_tokens != "skip":
        so_far_T, own_N = mask_T.cumsum(0), sequence_sums(mask_T, sequence_T)
        through_N = own_N.cumsum(0)
        is_step_T = so_far_T > (through_N - own_N)[sequence_T]
        if masked_tokens == "between":
            is_step_T = is_step_T & (so_far_T - mask_T < through_N[sequence_T])
    tokens_S = is_step_T.nonzero()[:, 0]
    sequence_S = sequence_T[tokens_S]
    is_last_S = sequence_S != sequence_S.roll(-1)
    is_first_S = sequence_S != sequence_S.roll(1)
    if sequence_S.numel():
        is_last_S[-1] = is_first_S[0] = True
    index_S = is_step_T.new_ones(tokens_S.shape, dtype=tokens_S.dtype).cumsum(0) - 1
    start_S = index_S.where(is_first_S, 0).cummax(0).values if index_S.numel() else index_S
    return Steps(tokens_S, sequence_S, index_S - start_S, is_last_S.nonzero()[:, 0], len(experience.rewards_N))


def step_rewards(experience: Experience, steps: Steps, kl: PenaltyKL) -> Tensor:
    """Return [S] each sample's reward at its last step, less the KL penalty of each sampled token where [loss.kl] says.

    The penalty is kl.coef times the estimate between the policy that sampled and the reference.
    """
    rewards_S = experience.rewards_N.new_zeros(steps.tokens_S.shape)
    rewards_S[steps.last_K] = experience.rewards_N[steps.sequence_S[steps.last_K]]
    if kl.place == "loss" or kl.coef == 0.0 or isinstance(kl.estimator, Off):
        return rewards_S
    if experience.old_logprobs_T is None or experience.ref_logprobs_T is None:
        raise InternalError("a KL penalty in the reward without log-probs of the policy and of the reference")
    at_S = steps.tokens_S
    d_S = experience.old_logprobs_T[at_S] - experience.ref_logprobs_T[at_S]
    if not isinstance(kl.input_clamp, Off):
        d_S = d_S.clamp(-kl.input_clamp, kl.input_clamp)
    kl_S = kl_estimate(d_S, d_S.new_zeros(()), estimator=kl.estimator)
    if not isinstance(kl.output_clamp, Off):
        kl_S = kl_S.clamp(-kl.output_clamp, kl.output_clamp)
    return rewards_S - kl.coef * kl_S * experience.mask_T[at_S]


def discounted_returns(rewards_S: Tensor, steps: Steps, *, gamma: float) -> Tensor:
    """Return [S] r_t + gamma r_(t+1) + ... to the end of each sequence."""
    rewards_LN = _by_position(rewards_S, steps)
    found_LN = rewards_LN.clone()
    for t in range(rewards_LN.shape[0] - 2, -1, -1):
        found_LN[t] += gamma * found_LN[t + 1]
    return found_LN[steps.position_S, steps.sequence_S]


def generalized_advantages(rewards_S: Tensor, values_S: Tensor, steps: Steps, *, gamma: float, lam_N: Tensor) -> Tensor:
    """Return [S] the sum of (gamma lam)^k delta_(t+k), delta_t = r_t + gamma V_(t+1) - V_t, with V = 0 after the end.

    `lam_N` is [N], one for each sequence.
    """
    rewards_LN, values_LN = _by_position(rewards_S, steps), _by_position(values_S, steps)
    found_LN = rewards_LN.clone()
    after_N = carried_N = rewards_LN.new_zeros(rewards_LN.shape[1:])
    for t in range(rewards_LN.shape[0] - 1, -1, -1):
        delta_N = rewards_LN[t] + gamma * after_N - values_LN[t]
        # Before a sequence's last step nothing is carried: shorter sequences are padded with zeros at the end.
        carried_N = delta_N + gamma * lam_N * carried_N
        found_LN[t], after_N = carried_N, values_LN[t]
    return found_LN[steps.position_S, steps.sequence_S]


def _by_position(x_S: Tensor, steps: Steps) -> Tensor:
    """Return [L, N] x with zeros after each sequence's end."""
    longest = int(steps.position_S.max()) + 1 if x_S.numel() else 0
    found_LN = x_S.new_zeros((longest, steps.num_sequences))
    found_LN[steps.position_S, steps.sequence_S] = x_S
    return found_LN
