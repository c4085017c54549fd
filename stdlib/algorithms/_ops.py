"""Maths that several algorithms share, on tensor methods only.

Shape letters: T tokens of one micro-batch, B prompts, G samples of one prompt.
Sources: PPO, arXiv:1707.06347 (clipped surrogate); GRPO, arXiv:2402.03300 (group baseline, k3 as a loss term);
Schulman, "Approximating KL divergence", 2020 (k1, k2, k3).
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Literal
from compiler.diagnostics.named_tuple import NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from compiler.ir.algorithm import Estimator
    from stdlib.algorithms._terms import PolicyTerms, SupervisedTerms, Totals


def group_advantages(rewards_BG: Tensor, *, std_eps: float | None) -> Tensor:
    """Return how much better each sample did than its group: [B, G], reward minus group mean.

    With `std_eps` the difference is divided by (unbiased standard deviation + std_eps).  A group of one, and a group
    whose rewards are all equal, gets exact zeros: rounding of the mean must not be blown up by the division.
    """
    if rewards_BG.shape[1] == 1:
        return rewards_BG.new_zeros(rewards_BG.shape)
    centred_BG = rewards_BG - rewards_BG.mean(dim=1, keepdim=True)
    if std_eps is not None:
        centred_BG = centred_BG / (rewards_BG.std(dim=1, keepdim=True, unbiased=True) + std_eps)
    is_flat_B1 = rewards_BG.amax(dim=1, keepdim=True) == rewards_BG.amin(dim=1, keepdim=True)
    return centred_BG.masked_fill(is_flat_B1, 0.0)


def token_weights(
    terms: SupervisedTerms | PolicyTerms, totals: Totals, *, reduction: Literal["token", "sequence"]
) -> Tensor:
    """Return [T] weights w such that the sum of w * x over all micro-batches is the mean of x.

    "token": mean over unmasked tokens of the global batch.  "sequence": mean over its sequences of each sequence's mean
    over unmasked tokens; a fully masked sequence counts as zero.
    """
    if reduction == "token":
        return terms.mask_T / max(totals.num_tokens, 1)
    num_local = int(terms.sequence_T.max()) + 1 if terms.sequence_T.numel() else 0
    counts_N = terms.mask_T.new_zeros(num_local).index_add(0, terms.sequence_T, terms.mask_T).clamp(min=1.0)
    return terms.mask_T / (counts_N[terms.sequence_T] * max(totals.num_sequences, 1))


def kept(x_T: Tensor, mask_T: Tensor) -> Tensor:
    """Return x with exact zeros where the mask is 0, so that nothing behind the mask, not even NaN, has an effect."""
    return x_T.masked_fill(mask_T == 0, 0.0)


def masked_sum(x_T: Tensor, mask_T: Tensor) -> Tensor:
    """Return the sum of x * mask without gradient; what is masked has no effect."""
    return (kept(x_T.detach(), mask_T) * mask_T).sum()


class Surrogate(NamedTuple):
    """Clipped policy-gradient loss of each token, with what it was made of."""

    loss_T: Tensor
    ratio_T: Tensor
    is_clipped_T: Tensor


def clipped_surrogate(log_ratio_T: Tensor, advantages_T: Tensor, *, clip_low: float, clip_high: float) -> Surrogate:
    """Return max(-r A, -clip(r, 1 - clip_low, 1 + clip_high) A) with r = exp(log_ratio), all [T].

    `is_clipped_T` is true where the clipped branch is the larger one, which stops the gradient.
    """
    ratio_T = log_ratio_T.exp()
    plain_T = -advantages_T * ratio_T
    clipped_T = -advantages_T * ratio_T.clamp(1.0 - clip_low, 1.0 + clip_high)
    return Surrogate(plain_T.maximum(clipped_T), ratio_T, clipped_T > plain_T)


def kl_estimate(logprobs_T: Tensor, ref_logprobs_T: Tensor, *, estimator: Estimator) -> Tensor:
    """Return a one-sample estimate of KL(policy || reference) at each token, [T].

    With d = logp - ref: k1 = d (unbiased, may be negative; its gradient has mean zero, so it regularises nothing as a
    loss term), k2 = d^2 / 2, k3 = exp(-d) - 1 + d (unbiased, never negative).
    """
    d_T = logprobs_T - ref_logprobs_T
    if estimator == "k1":
        return d_T
    if estimator == "k2":
        return d_T * d_T / 2.0
    return (-d_T).expm1() + d_T
