"""Group-relative policy optimisation.

Each response is compared with the others to the same prompt; the clipped surrogate of PPO then raises the log-probs of
the better ones.  Paper: DeepSeekMath, arXiv:2402.03300, eq. 3 and 4; asymmetric clipping: DAPO, arXiv:2503.14476.
Departures: the standard deviation is the unbiased one; the loss is by default a mean over tokens of the batch (DAPO),
with `loss.reduction = "sequence"` for the paper's mean of per-response means; advantages of a group of one are zero.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import AlgorithmParams, GroupRelativeAlgo
from compiler.ir.loss import ClippedLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import of_groups
from stdlib.algorithms._ops import clipped_surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What GRPO reads of a spec."""

    algo: GroupRelativeAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: ClippedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return (reward - group mean) / group deviation at every token of a response."""
    return of_groups(experience, params.algo)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of clipped surrogate - entropy_coef * entropy + kl.coef * KL."""
    advantages_T = kept(terms.advantages_T, terms.mask_T)
    surrogate = clipped_surrogate(log_ratios(terms, params.loss), advantages_T, params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)
