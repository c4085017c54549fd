"""REINFORCE with a leave-one-out baseline: each response against the mean of the others to the same prompt.

Plain policy gradient, -A * logp, without a ratio.  Paper: Back to Basics, arXiv:2402.14740, eq. 10.
The ratio's clip beside a leave-one-out baseline is `algo.name = "grpo"` with `algo.baseline = "leave_one_out"`.
Departure: a group of one has advantage zero, where its raw reward would have no baseline at all.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final, Literal
from compiler.ir.algorithm import OF_STDLIB, AlgorithmParams, GroupRelativeAlgo
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import of_groups
from stdlib.algorithms._ops import kept, policy_loss, reinforce_surrogate
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class LeaveOneOutAlgo(GroupRelativeAlgo):
    """[algo] of RLOO: as its paper has it unless set."""

    baseline: Literal["mean", "leave_one_out"] = setting(
        "What a reward is compared with: the mean of its group, or of the others in it. The standard deviation is "
        "taken over the same samples.",
        default="leave_one_out",
        read_if=OF_STDLIB,
    )
    normalize_std: bool = setting(
        "Whether advantages are divided by the standard deviation of their group.", default=False, read_if=OF_STDLIB
    )


class Params(AlgorithmParams[A]):
    """What RLOO reads of a spec."""

    algo: LeaveOneOutAlgo = setting("Which algorithm, and how samples of a group are compared.")
    loss: PolicyLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return reward - mean reward of the others at every token of a response."""
    return of_groups(experience, params.algo)


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of -A * logp."""
    surrogate = reinforce_surrogate(terms, kept(terms.advantages_T, terms.mask_T))
    return policy_loss(params.loss, terms, totals, surrogate)
