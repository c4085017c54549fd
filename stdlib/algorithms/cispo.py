"""Clipped importance-sampling policy optimisation: the ratio is a clipped weight, and no token loses its gradient.

PPO's clip stops the gradient of just the rare tokens that turn an argument; here the weight is bounded instead.
Paper: MiniMax-M1, arXiv:2506.13585, eq. 4 and 5.  The paper has no lower bound: `loss.clip_low = 1`.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import AlgorithmParams, GroupRelativeAlgo
from compiler.ir.loss import RatioLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import of_groups
from stdlib.algorithms._ops import Surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What CISPO reads of a spec."""

    algo: GroupRelativeAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: RatioLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return (reward - group mean) / group deviation at every token of a response."""
    return of_groups(experience, params.algo)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the share of -clip(ratio, 1 - clip_low, 1 + clip_high) * A * logp, with no gradient through the clip."""
    spec, mask_T = params.loss, terms.mask_T
    ratio_T = log_ratios(terms, spec).exp().detach()
    weight_T = ratio_T.clamp(1.0 - spec.clip_low, 1.0 + spec.clip_high)
    loss_T = -weight_T * kept(terms.advantages_T, mask_T) * kept(terms.logprobs_T, mask_T)
    return policy_loss(spec, terms, totals, Surrogate(loss_T, ratio_T, weight_T != ratio_T))
