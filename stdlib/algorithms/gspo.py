"""Group sequence policy optimisation: one ratio for a whole response, the geometric mean of its tokens' ratios.

The reward judges a response, so the response is what is clipped; ratios of single tokens of a mixture of experts are
noisy, their mean is not.  Paper: GSPO, arXiv:2507.18071, eq. 5 to 7.  The gradient flows through the mean.
Departures: the standard deviation is the unbiased one; clip ranges are of the order of 1e-4.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import AlgorithmParams, GroupRelativeAlgo
from compiler.ir.loss import ClippedLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import of_groups
from stdlib.algorithms._ops import clamped_log_ratio, clipped_surrogate, kept, policy_loss, sequence_means
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What GSPO reads of a spec."""

    algo: GroupRelativeAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: ClippedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return (reward - group mean) / group deviation at every token of a response."""
    return of_groups(experience, params.algo)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the share of the clipped surrogate of exp(mean of log ratios over the response), at each of its tokens."""
    gap_T = terms.logprobs_T - terms.old_logprobs_T
    log_ratio_N = clamped_log_ratio(sequence_means(gap_T, terms.mask_T, terms.sequence_T), params.loss)
    log_ratio_T = kept(log_ratio_N[terms.sequence_T], terms.mask_T)
    surrogate = clipped_surrogate(log_ratio_T, kept(terms.advantages_T, terms.mask_T), params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)
