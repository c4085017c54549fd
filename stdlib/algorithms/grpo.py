"""Group-relative policy optimisation.

Each response is compared with the others to the same prompt; the clipped surrogate of PPO then raises the log-probs of
the better ones.  Paper: DeepSeekMath, arXiv:2402.03300, eq. 3 and 4; asymmetric clipping: DAPO, arXiv:2503.14476.
Departures: the standard deviation is the unbiased one; the loss is by default a mean over tokens of the batch (DAPO),
with `loss.reduction = "sequence"` for the paper's mean of per-response means; advantages of a group of one are zero.

Shape letters: B prompts, G samples of one prompt, T tokens of one micro-batch.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import KL, AlgorithmParams, GroupRelativeAlgo, PolicyLoss
from compiler.ir.openness import A, Off
from compiler.ir.record import setting
from stdlib.algorithms._ops import clipped_surrogate, group_advantages, kept, kl_estimate, masked_sum, token_weights
from stdlib.algorithms._terms import LossOutput, MetricSum, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What GRPO reads of a spec."""

    algo: GroupRelativeAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: PolicyLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], rewards_BG: Tensor) -> Tensor:
    """Return [B, G]: (reward - group mean), divided by (unbiased std + std_eps) if normalize_std."""
    algo = params.algo
    return group_advantages(rewards_BG, std_eps=algo.std_eps if algo.normalize_std else None)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of surrogate - entropy_coef * entropy + kl.coef * KL.

    Entropy and KL have a gradient only where their coefficient is not 0; otherwise they are metrics.
    """
    spec, mask_T = params.loss, terms.mask_T
    weight_T = token_weights(terms, totals, reduction=spec.reduction)
    log_ratio_T = kept(terms.logprobs_T - terms.old_logprobs_T, mask_T)
    surrogate = clipped_surrogate(
        log_ratio_T, kept(terms.advantages_T, mask_T), clip_low=spec.clip_low, clip_high=spec.clip_high
    )
    total = (weight_T * surrogate.loss_T).sum()
    sums = {
        "pg_loss": surrogate.loss_T,
        "ratio_mean": surrogate.ratio_T,
        "clip_frac": surrogate.is_clipped_T.to(mask_T.dtype),
        "approx_kl": kl_estimate(log_ratio_T, log_ratio_T.new_zeros(()), estimator="k3"),
    }
    if terms.entropy_T is not None:
        sums["entropy"] = terms.entropy_T
        if spec.entropy_coef != 0.0:
            total = total - spec.entropy_coef * (weight_T * kept(terms.entropy_T, mask_T)).sum()
    kl_T = _reference_kl(spec.kl, terms)
    if kl_T is not None:
        sums["kl"] = kl_T
        if spec.kl.coef != 0.0:
            total = total + spec.kl.coef * (weight_T * kl_T).sum()
    return LossOutput(total, {name: MetricSum(masked_sum(x_T, mask_T), "tokens") for name, x_T in sums.items()})


def _reference_kl(kl: KL, terms: PolicyTerms) -> Tensor | None:
    if isinstance(kl.estimator, Off):
        if kl.coef != 0.0:
            raise InternalError("grpo: loss.kl.coef is set without loss.kl.estimator")
        return None
    if terms.ref_logprobs_T is None:
        raise InternalError("grpo: loss.kl.estimator is set, but the terms hold no reference log-probs")
    logprobs_T = kept(terms.logprobs_T, terms.mask_T)
    return kl_estimate(logprobs_T, kept(terms.ref_logprobs_T, terms.mask_T), estimator=kl.estimator)
