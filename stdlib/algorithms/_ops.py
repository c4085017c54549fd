"""Maths that several algorithms share, on tensor methods only.

Shape letters: T tokens of one micro-batch or of a whole rollout, N sequences of the same.
Sources: PPO, arXiv:1707.06347 (clipped surrogate); dual clip, arXiv:1912.09729, eq. 5; Schulman, "Approximating KL
divergence", 2020 (k1, k2, k3); Tang and Munos, arXiv:2506.09477 (gradients of KL estimates); OPSM: slime's off-policy
sequence masking.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import InternalError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.loss import PenaltyKL, PolicyLoss
from compiler.ir.openness import Off
from stdlib.algorithms._terms import DistillationTerms, LossOutput, MetricSum, PolicyTerms, SupervisedTerms, Totals

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

    from compiler.ir.loss import KL, ClippedLoss, Estimator, LikelihoodLoss, MovingRatioLoss


def kept(x_T: Tensor, mask_T: Tensor) -> Tensor:
    """Return x with exact zeros where the mask is 0, so that nothing behind the mask, not even NaN, has an effect."""
    return x_T.masked_fill(mask_T == 0, 0.0)


def masked_sum(x_T: Tensor, mask_T: Tensor) -> Tensor:
    """Return the sum of x * mask without gradient; what is masked has no effect."""
    return (kept(x_T.detach(), mask_T) * mask_T).sum()


def sequence_sums(x_T: Tensor, sequence_T: Tensor) -> Tensor:
    """Return [N] the sum of x over the tokens of each sequence; the gradient flows through."""
    num_sequences = int(sequence_T.max()) + 1 if sequence_T.numel() else 0
    return x_T.new_zeros(num_sequences).index_add(0, sequence_T, x_T)


def sequence_means(x_T: Tensor, mask_T: Tensor, sequence_T: Tensor) -> Tensor:
    """Return [N] the mean of x over the unmasked tokens of each sequence; 0 where there are none."""
    counts_N = sequence_sums(mask_T, sequence_T).clamp(min=1.0)
    return sequence_sums(kept(x_T, mask_T) * mask_T, sequence_T) / counts_N


def token_weights(
    terms: SupervisedTerms | PolicyTerms | DistillationTerms, totals: Totals, loss: LikelihoodLoss | PolicyLoss[Never]
) -> Tensor:
    """Return [T] weights w such that the sum of w * x over all micro-batches is what `loss.reduction` makes of x.

    "token": mean over unmasked tokens of the global batch.  "sequence": mean over its sequences of each sequence's mean
    over unmasked tokens.  "constant": mean over its sequences of each sequence's sum divided by
    `loss.constant_tokens` (Dr. GRPO, arXiv:2503.20783, section 3.2).  "sum": the sum over all tokens divided by it.  A
    sequence without unmasked tokens counts as zero, or is not counted, as `loss.empty_sequences` says.
    """
    if loss.reduction == "token":
        num_empty = totals.num_sequences - totals.num_nonempty if loss.empty_as_token else 0
        return terms.mask_T / max(totals.num_tokens + num_empty, 1)
    if isinstance(loss, PolicyLoss) and loss.reduction == "sum":
        return terms.mask_T / loss.constant_tokens
    num_sequences = max(totals.num_nonempty if loss.empty_sequences == "skip" else totals.num_sequences, 1)
    if isinstance(loss, PolicyLoss) and loss.reduction == "constant":
        return terms.mask_T / (loss.constant_tokens * num_sequences)
    counts_N = sequence_sums(terms.mask_T, terms.sequence_T).clamp(min=1.0)
    return terms.mask_T / (counts_N[terms.sequence_T] * num_sequences)


class Surrogate(NamedTuple):
    """Policy-gradient loss of each token, with what it was made of; `is_clipped_T` where a bound stops the gradient."""

    loss_T: Tensor
    ratio_T: Tensor
    is_clipped_T: Tensor


def log_ratios(terms: PolicyTerms, loss: MovingRatioLoss[Never]) -> Tensor:
    """Return [T] log(policy / old policy), 0 where masked, clamped to plus and minus loss.log_ratio_clamp."""
    return clamped_log_ratio(kept(terms.logprobs_T - terms.old_logprobs_T, terms.mask_T), loss)


def clamped_log_ratio(log_ratio: Tensor, loss: MovingRatioLoss[Never]) -> Tensor:
    """Return log-ratios, of tokens or of sequences, clamped to plus and minus loss.log_ratio_clamp."""
    if isinstance(loss.log_ratio_clamp, Off):
        return log_ratio
    return log_ratio.clamp(-loss.log_ratio_clamp, loss.log_ratio_clamp)


def clipped_surrogate(log_ratio_T: Tensor, advantages_T: Tensor, loss: ClippedLoss[Never]) -> Surrogate:
    """Return max(-r A, -clip(r, 1 - clip_low, 1 + clip_high) A) with r = exp(log_ratio), all [T].

    `dual_clip` bounds it by -dual_clip * A where A < 0; `max_ratio` bounds the r of the first branch.  `is_clipped_T`
    is true where the clipped branch is the larger one.
    """
    ratio_T = log_ratio_T.exp()
    free_T = ratio_T if isinstance(loss.max_ratio, Off) else ratio_T.clamp(max=loss.max_ratio)
    plain_T = -advantages_T * free_T
    clipped_T = -advantages_T * ratio_T.clamp(1.0 - loss.clip_low, 1.0 + loss.clip_high)
    found_T = plain_T.maximum(clipped_T)
    if not isinstance(loss.dual_clip, Off):
        bounded_T = found_T.minimum(-advantages_T * loss.dual_clip)
        found_T = bounded_T.where(advantages_T < 0, found_T)
    return Surrogate(found_T, ratio_T, clipped_T > plain_T)


def reinforce_surrogate(terms: PolicyTerms, advantages_T: Tensor) -> Surrogate:
    """Return -A * logp, all [T]: the plain policy gradient, which clips nothing; the ratio is only reported."""
    logprobs_T = kept(terms.logprobs_T, terms.mask_T)
    ratio_T = (logprobs_T.detach() - kept(terms.old_logprobs_T, terms.mask_T)).exp()
    return Surrogate(-advantages_T * logprobs_T, ratio_T, ratio_T != ratio_T)


def kl_estimate(logprobs_T: Tensor, ref_logprobs_T: Tensor, *, estimator: Estimator) -> Tensor:
    """Return a one-sample estimate of KL(policy || reference) at each token, [T].

    With d = logp - ref: k1 = d (unbiased, may be negative; its gradient has mean zero, so it regularises nothing as a
    loss term), k2 = d^2 / 2, k3 = exp(-d) - 1 + d (unbiased, never negative).
    """
    return _estimate(logprobs_T - ref_logprobs_T, estimator)


def kl_penalty(kl: KL, terms: PolicyTerms) -> Tensor | None:
    """Return [T] what [loss.kl] says of each token, or None where nothing is estimated.

    The difference is clamped first, the weight multiplies the estimate, and the product is clamped last.  A token that
    the first clamp reached has no gradient, the weight's included.
    """
    if isinstance(kl.estimator, Off):
        if kl.coef != 0.0:
            raise InternalError("loss.kl.coef is set without loss.kl.estimator")
        return None
    if terms.ref_logprobs_T is None:
        raise InternalError("loss.kl.estimator is set, but the terms hold no reference log-probs")
    logprobs_T = kept(terms.logprobs_T, terms.mask_T)
    d_T = logprobs_T - kept(terms.ref_logprobs_T, terms.mask_T)
    weight_T = _kl_weight(kl, logprobs_T, terms)
    if not isinstance(kl.input_clamp, Off):
        if weight_T is not None:
            weight_T = weight_T.detach().where(d_T.abs() > kl.input_clamp, weight_T)
        d_T = d_T.clamp(-kl.input_clamp, kl.input_clamp)
    found_T = _estimate(d_T, kl.estimator)
    if weight_T is not None:
        found_T = weight_T * found_T
    return found_T if isinstance(kl.output_clamp, Off) else found_T.clamp(-kl.output_clamp, kl.output_clamp)


def _estimate(d_T: Tensor, estimator: Estimator) -> Tensor:
    if estimator == "k1":
        return d_T
    if estimator == "k2":
        return d_T * d_T / 2.0
    return (-d_T).expm1() + d_T


def _kl_weight(kl: KL, logprobs_T: Tensor, terms: PolicyTerms) -> Tensor | None:
    if kl.weight == "none":
        return None
    against_T = {
        "score": logprobs_T.detach(),
        "old": terms.old_logprobs_T,
        "rollout": terms.rollout_logprobs_T,
    }[kl.weight]
    return (logprobs_T - kept(against_T, terms.mask_T)).exp()


def policy_loss(loss: PolicyLoss[Never], terms: PolicyTerms, totals: Totals, surrogate: Surrogate) -> LossOutput:
    """Return the micro-batch's share of surrogate - entropy_coef * entropy + kl.coef * KL + positive_nll.coef * NLL.

    Where terms.reduction_T is there it reduces the surrogate, and `loss.reduction` only the rest.  Tokens of the
    surrogate are weighted as terms.weights_T says and by [loss] opsm_delta.  Entropy and KL have a
    gradient only where their coefficient is not 0; otherwise they are metrics.  NLL is the mean over tokens of
    responses that are right; no weight and no clip applies to it.
    """
    mask_T, weight_T = terms.mask_T, token_weights(terms, totals, loss)
    pg_T = surrogate.loss_T if terms.weights_T is None else surrogate.loss_T * kept(terms.weights_T, mask_T)
    sums = {
        "ratio_mean": surrogate.ratio_T,
        "clip_frac": surrogate.is_clipped_T.to(mask_T.dtype),
        "approx_kl": kl_estimate(kept(terms.logprobs_T, mask_T), kept(terms.old_logprobs_T, mask_T), estimator="k3"),
    }
    if not isinstance(loss.opsm_delta, Off):
        keeps_T = _moved_little(terms, loss.opsm_delta)
        pg_T = pg_T * keeps_T
        sums["opsm_frac"] = 1.0 - keeps_T
    total = ((weight_T if terms.reduction_T is None else kept(terms.reduction_T, mask_T)) * pg_T).sum()
    sums["pg_loss"] = pg_T
    if terms.entropy_T is not None:
        sums["entropy"] = terms.entropy_T
        if loss.entropy_coef != 0.0:
            total = total - loss.entropy_coef * (weight_T * kept(terms.entropy_T, mask_T)).sum()
    metrics: dict[str, MetricSum] = {}
    if not isinstance(loss.positive_nll, Off):
        nll_T = _right_nll(terms)
        total = total + loss.positive_nll.coef * nll_T.sum() / max(totals.num_right_tokens, 1)
        metrics["positive_nll"] = MetricSum(masked_sum(nll_T, mask_T), "right_tokens")
    kl_T = kl_penalty(loss.kl, terms)
    if kl_T is not None:
        sums["kl"] = kl_T
        if loss.kl.coef != 0.0 and not (isinstance(loss.kl, PenaltyKL) and loss.kl.place == "reward"):
            total = total + loss.kl.coef * (weight_T * kl_T).sum()
    metrics |= {name: MetricSum(masked_sum(x_T, mask_T), "tokens") for name, x_T in sums.items()}
    return LossOutput(total, metrics)


def _right_nll(terms: PolicyTerms) -> Tensor:
    """Return [T] -log-prob of tokens of right responses, 0 elsewhere (VAPO, arXiv:2504.05118, section 4.3)."""
    if terms.is_right_T is None:
        raise InternalError("loss.positive_nll is set, but nobody said which responses are right")
    return -kept(terms.logprobs_T, terms.mask_T) * kept(terms.is_right_T, terms.mask_T)


def _moved_little(terms: PolicyTerms, delta: float) -> Tensor:
    """Return [T] 0 in sequences of negative advantage whose mean of old - current log-probs is above delta, else 1."""
    fallen_T = (terms.old_logprobs_T - terms.logprobs_T).detach()
    fallen_N = sequence_means(fallen_T, terms.mask_T, terms.sequence_T)
    return ((terms.advantages_T >= 0) | (fallen_N[terms.sequence_T] <= delta)).to(terms.mask_T.dtype)
