"""Soft adaptive policy optimisation: a smooth gate in the place of the hard clip.

The gradient of a token fades as its ratio leaves 1, faster where the advantage is negative, and is never cut off.
Paper: SAPO, arXiv:2511.20347, eq. 5 to 7.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import AlgorithmParams, GroupRelativeAlgo
from compiler.ir.loss import RATIO_MOVES, MovingRatioLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import of_groups
from stdlib.algorithms._ops import Surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class SoftLoss(MovingRatioLoss[A]):
    """[loss] of SAPO."""

    gate_positive: float = setting(
        "How fast the gate of tokens with a positive advantage closes: its temperature.",
        default=1.0,
        gt=0,
        read_if=RATIO_MOVES,
    )
    gate_negative: float = setting(
        "How fast the gate of all other tokens closes: its temperature.", default=1.05, gt=0, read_if=RATIO_MOVES
    )


class Params(AlgorithmParams[A]):
    """What SAPO reads of a spec."""

    algo: GroupRelativeAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: SoftLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return (reward - group mean) / group deviation at every token of a response."""
    return of_groups(experience, params.algo)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the share of -A * (4 / tau) * sigmoid(tau * (ratio - 1)), whose slope at ratio 1 is that of the ratio.

    No token is ever clipped: `clip_frac` is 0.
    """
    spec, mask_T = params.loss, terms.mask_T
    ratio_T = log_ratios(terms, spec).exp()
    advantages_T = kept(terms.advantages_T, mask_T)
    tau_T = ratio_T.new_full(ratio_T.shape, spec.gate_negative).masked_fill(advantages_T > 0, spec.gate_positive)
    loss_T = -advantages_T * (tau_T * (ratio_T - 1.0)).sigmoid() * 4.0 / tau_T
    return policy_loss(spec, terms, totals, Surrogate(loss_T, ratio_T, ratio_T != ratio_T))
