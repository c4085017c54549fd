"""How much better a response or a token did than expected: the parts that algorithms share.

Shape letters: T tokens and N samples of a whole rollout, G prompts.
Sources: GRPO, arXiv:2402.03300, section 4.1.2 (mean and deviation of the group); RLOO, arXiv:2402.14740, eq. 10 (leave
one out); REINFORCE++, arXiv:2501.03262 (normalised over the batch).
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Literal
from compiler.ir.openness import Off
from stdlib.algorithms._terms import Advantages

if TYPE_CHECKING:
    from torch import Tensor

    from compiler.ir.algorithm import GroupRelativeAlgo, PolicyAlgo
    from stdlib.algorithms._terms import Experience


def group_advantages(rewards_N: Tensor, group_N: Tensor, algo: GroupRelativeAlgo) -> Tensor:
    """Return [N] how much better each sample did than its group, as [algo] baseline and normalize_std say.

    Deviations are unbiased.  A sample alone in its group, one of a group whose rewards are all equal, and one whose
    deviation is 0 get no division; the first two get exact zeros, so that rounding of the mean is not blown up, unless
    [algo] group_of_one leaves the first its reward.  With leave_one_out the mean and the deviation are those of the
    other samples (of two samples that deviation is 0).
    """
    index_N, size_N = _groups(group_N)
    total_N = _spread(rewards_N, index_N)
    others_N = (size_N - 1).clamp(min=1.0)
    if algo.baseline == "mean":
        baseline_N = total_N / size_N
        square_N = _spread((rewards_N - baseline_N) ** 2, index_N)
        variance_N = square_N / others_N
    else:
        baseline_N = (total_N - rewards_N) / others_N
        variance_N = _others_variance(rewards_N, baseline_N, index_N, size_N)
    found_N = rewards_N - baseline_N
    if algo.normalize_std:
        std_N = variance_N.clamp(min=0.0).sqrt()
        scale_N = std_N + algo.std_eps
        found_N = (found_N / scale_N).where(std_N > 0, found_N)
    found_N = found_N.masked_fill(_is_flat(rewards_N, index_N) | (size_N == 1), 0.0)
    return rewards_N.where(size_N == 1, found_N) if algo.group_of_one == "reward" else found_N


def of_groups(experience: Experience, algo: GroupRelativeAlgo) -> Advantages:
    """Return each sample's group advantage at its unmasked tokens, whitened and clamped as [algo] says."""
    return Advantages(finished(within_groups(experience, algo), experience.mask_T, algo))


def within_groups(experience: Experience, algo: GroupRelativeAlgo) -> Tensor:
    """Return [T] the group advantage of each unmasked token's sample, or what [algo] advantages says; 0 elsewhere."""
    if experience.own_advantages_T is not None:
        return experience.own_advantages_T
    found_N = group_advantages(experience.rewards_N, experience.group_N, algo)
    return over_tokens(found_N, experience.mask_T, experience.sequence_T)


def above_group_mean(rewards_N: Tensor, group_N: Tensor, *, of_one: Literal["zero", "reward"]) -> Tensor:
    """Return [N] reward - mean reward of the group; of a sample alone in its group 0, or its reward."""
    index_N, size_N = _groups(group_N)
    found_N = rewards_N - _spread(rewards_N, index_N) / size_N
    return rewards_N.where(size_N == 1, found_N) if of_one == "reward" else found_N


def over_tokens(advantages_N: Tensor, mask_T: Tensor, sequence_T: Tensor) -> Tensor:
    """Return [T] each sample's advantage at each of its unmasked tokens, 0 elsewhere."""
    return advantages_N[sequence_T].masked_fill(mask_T == 0, 0.0)


def finished(advantages_T: Tensor, mask_T: Tensor, algo: PolicyAlgo) -> Tensor:
    """Return [T] advantages after whitening and clamping, as [algo] says; 0 where masked."""
    if algo.whiten:
        advantages_T = whitened(advantages_T, mask_T, variance=algo.whiten_variance)
    low = None if isinstance(algo.advantage_low, Off) else algo.advantage_low
    high = None if isinstance(algo.advantage_high, Off) else algo.advantage_high
    if low is not None or high is not None:
        advantages_T = advantages_T.clamp(low, high)
    return advantages_T.masked_fill(mask_T == 0, 0.0)


def whitened(x_T: Tensor, mask_T: Tensor, *, variance: Literal["unbiased", "population"]) -> Tensor:
    """Return [T] x shifted and scaled to mean 0 and variance 1 over unmasked tokens; 0 elsewhere.

    "unbiased": variance over n - 1, plus 1e-8.  "population": variance over n, at least 1e-8.  One token alone is 0.
    """
    count = mask_T.sum().clamp(min=1.0)
    masked_T = x_T.masked_fill(mask_T == 0, 0.0)
    centred_T = ((masked_T - (masked_T * mask_T).sum() / count) * mask_T).masked_fill(mask_T == 0, 0.0)
    square = (centred_T * centred_T).sum()
    if variance == "unbiased":
        return centred_T * (square / (count - 1.0).clamp(min=1.0) + 1e-8).rsqrt()
    return centred_T * (square / count).clamp(min=1e-8).rsqrt()


def _groups(group_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return [N] each sample's group counted from 0, and [N] how many samples it has, as a float."""
    _, index_N, size_G = group_N.unique(return_inverse=True, return_counts=True)
    return index_N, size_G.float()[index_N]


def _spread(x_N: Tensor, index_N: Tensor) -> Tensor:
    """Return [N] the sum of x over each sample's group."""
    num_groups = int(index_N.max()) + 1 if index_N.numel() else 0
    return x_N.new_zeros(num_groups).index_add(0, index_N, x_N)[index_N]


def _is_flat(x_N: Tensor, index_N: Tensor) -> Tensor:
    """Return [N] whether all samples of a group have the same x."""
    num_groups = int(index_N.max()) + 1 if index_N.numel() else 0
    low_G = x_N.new_full((num_groups,), float("inf")).scatter_reduce(0, index_N, x_N, "amin")
    high_G = x_N.new_full((num_groups,), float("-inf")).scatter_reduce(0, index_N, x_N, "amax")
    return (low_G == high_G)[index_N]


def _others_variance(x_N: Tensor, others_mean_N: Tensor, index_N: Tensor, size_N: Tensor) -> Tensor:
    """Return [N] the unbiased variance of the other samples of each group; 0 where there is at most one other."""
    others_N = size_N - 1
    # About the group's mean, so that large rewards of small spread do not cancel.
    centre_N = _spread(x_N, index_N) / size_N
    d_N = x_N - centre_N
    mean_square_N = (_spread(d_N * d_N, index_N) - d_N * d_N) / others_N.clamp(min=1.0)
    variance_N = (mean_square_N - (others_mean_N - centre_N) ** 2) * others_N / (others_N - 1).clamp(min=1.0)
    return variance_N.masked_fill(others_N <= 1, 0.0)
