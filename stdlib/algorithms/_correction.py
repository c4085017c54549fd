"""Off-policy correction: what is done about an engine that samples with other probabilities than the trainer computes.

w = exp(trainer's log-prob before its first update - engine's log-prob), without gradient; it depends on nothing that
training changes, so it is computed once for a rollout.
Sources: truncated importance sampling, Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
training"; IcePop, Ling team 2025 (tokens out of bounds are masked); masked importance sampling by token, sequence
and geometric mean, Liu et al. 2025, "When speed kills stability".

Shape letters: T tokens of a whole rollout, N sequences.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import InternalError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from stdlib.algorithms._ops import kept, masked_sum, sequence_means, sequence_sums

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

    from compiler.ir.loss import Level, Mismatch, PolicyLoss, Rejection

LOG_RATIO_BOUND = 20.0


class Correction(NamedTuple):
    """What follows from the gap between engine and trainer.

    weights_T: [T] what the loss of each token is multiplied with; 0 where the token is left out but counted.
    mask_T: [T] the mask without what is dropped and not counted.
    metrics: means over the rollout, by name.
    """

    weights_T: Tensor
    mask_T: Tensor
    metrics: dict[str, float]


class Gap(NamedTuple):
    """What each side says of the tokens of a rollout: [T] log-probs; mask_T, sequence_T as in Experience."""

    trainer_logprobs_T: Tensor
    rollout_logprobs_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor


class Weighed(NamedTuple):
    """What a function of the experiment's own says of a gap.

    weights_T: [T] float32, at least 0; 0 where masked.
    mask_T: [T] float32, the gap's mask or less.
    """

    weights_T: Tensor
    mask_T: Tensor


Weigh = Callable[[Gap], Weighed]


def correction(loss: PolicyLoss[Never], gap: Gap, weigh: Weigh | None = None) -> Correction:
    """Return weights and mask as [loss.mismatch] and [loss.rejection] say.

    Log-ratios are clamped to plus and minus 20: a weight's own, a token's or a sequence's, and where sequences are
    rejected those of their tokens first.  A token of which a side's log-prob is no finite number is left
    out, and with it the whole sequence where sequences are judged.

    Args:
        weigh: the function that [loss.mismatch] names, where it names one; it sees what `max_error` leaves in.
    """
    before = gap
    gap = gap._replace(mask_T=_without_far_sequences(loss.rejection, gap))
    if isinstance(loss.mismatch.function, Off):
        weights_T = _weights(loss.mismatch, gap)
    elif weigh is None:
        raise InternalError("off-policy correction: nobody loaded the function of [loss.mismatch]")
    else:
        weights_T, mask_T = weigh(gap)
        gap = gap._replace(mask_T=mask_T)
    mask_T = gap.mask_T
    dropped = _num_emptied(before, mask_T)
    keeps_T = _keeps(loss.rejection, gap) * _is_known(loss.rejection, gap)
    weights_T = kept(weights_T * keeps_T, mask_T)
    num_tokens = float(mask_T.sum().clamp(min=1.0))
    metrics = {
        "mismatch/weight_mean": float(masked_sum(weights_T, mask_T)) / num_tokens,
        "mismatch/zero_frac": float(masked_sum((weights_T == 0).to(mask_T.dtype), mask_T)) / num_tokens,
        "mismatch/dropped_sequences": dropped,
    }
    return Correction(weights_T, mask_T * keeps_T if loss.rejection.left_out == "skip" else mask_T, metrics)


def is_needed(loss: PolicyLoss[Never]) -> bool:
    """Whether [loss] asks for any correction."""
    rejection = loss.rejection
    parts = (rejection.level, rejection.veto_below, rejection.max_error)
    return loss.mismatch.is_on or not all(isinstance(part, Off) for part in parts)


def _weights(spec: Mismatch, gap: Gap) -> Tensor:
    if isinstance(spec.bound, Off):
        return gap.mask_T.new_ones(gap.mask_T.shape)
    weights_T = _ratios(gap, spec.level, _log_ratios(gap))
    if spec.bound == "truncate":
        weights_T = weights_T.clamp(max=spec.high)
    elif spec.bound == "clip":
        weights_T = weights_T.clamp(spec.low, spec.high)
    elif spec.bound == "mask":
        weights_T = weights_T * _within(weights_T, spec.low, spec.high)
    if spec.normalize:
        mean = masked_sum(weights_T, gap.mask_T) / gap.mask_T.sum().clamp(min=1.0)
        weights_T = weights_T / mean.clamp(min=1e-8)
    return weights_T


def _keeps(spec: Rejection, gap: Gap) -> Tensor:
    """Return [T] 1 where [loss.rejection] leaves a token in."""
    keeps_T = gap.mask_T.new_ones(gap.mask_T.shape)
    if not isinstance(spec.level, Off):
        bounded_T = _bounded(_log_ratios(gap))
        keeps_T = keeps_T * _within(_ratios(gap, spec.level, bounded_T), spec.low, spec.high)
    if not isinstance(spec.veto_below, Off):
        vetoes_T = (_ratios(gap, "token", _log_ratios(gap)) < spec.veto_below).to(keeps_T.dtype)
        vetoed_N = sequence_sums(kept(vetoes_T, gap.mask_T), gap.sequence_T)
        keeps_T = keeps_T * (vetoed_N == 0)[gap.sequence_T].to(keeps_T.dtype)
    return keeps_T


def _is_known(spec: Rejection, gap: Gap) -> Tensor:
    """Return [T] 1 where both log-probs are numbers; of all its sequence where sequences are judged."""
    gap_T = kept(gap.trainer_logprobs_T - gap.rollout_logprobs_T, gap.mask_T)
    unknown_T = 1.0 - gap_T.isfinite().to(gap.mask_T.dtype)
    if spec.level in ("sequence", "geometric"):
        unknown_T = sequence_sums(unknown_T, gap.sequence_T)[gap.sequence_T]
    return (unknown_T == 0).to(gap.mask_T.dtype)


def _without_far_sequences(spec: Rejection, gap: Gap) -> Tensor:
    if isinstance(spec.max_error, Off):
        return gap.mask_T
    error_T = _bounded(_log_ratios(gap)).abs().exp()
    error_N = sequence_means(error_T, gap.mask_T, gap.sequence_T)
    return gap.mask_T * (error_N <= spec.max_error)[gap.sequence_T].to(gap.mask_T.dtype)


def _num_emptied(gap: Gap, mask_T: Tensor) -> float:
    before_N, after_N = sequence_sums(gap.mask_T, gap.sequence_T), sequence_sums(mask_T, gap.sequence_T)
    return float(((before_N > 0) & (after_N == 0)).sum())


def _ratios(gap: Gap, level: Level, log_ratio_T: Tensor) -> Tensor:
    """Return [T] each token's weight, or its sequence's: the product of its tokens' weights or their geometric mean."""
    if level == "token":
        return _bounded(log_ratio_T).exp()
    if level == "sequence":
        log_ratio_N = sequence_sums(log_ratio_T, gap.sequence_T)
    else:
        log_ratio_N = sequence_means(log_ratio_T, gap.mask_T, gap.sequence_T)
    return _bounded(log_ratio_N).exp()[gap.sequence_T]


def _log_ratios(gap: Gap) -> Tensor:
    """Return [T] trainer - engine, 0 where masked, and the bound where it is no finite number."""
    found_T = kept(gap.trainer_logprobs_T - gap.rollout_logprobs_T, gap.mask_T)
    return found_T.nan_to_num(nan=-LOG_RATIO_BOUND, posinf=LOG_RATIO_BOUND, neginf=-LOG_RATIO_BOUND)


def _bounded(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def _within(x_T: Tensor, low: float, high: float) -> Tensor:
    return ((x_T >= low) & (x_T <= high)).to(x_T.dtype)
