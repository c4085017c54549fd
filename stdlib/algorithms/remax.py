"""ReMax: REINFORCE against the reward of the most likely response to the same prompt.

For each prompt one further response is taken greedily; it is judged and never trained on.
Paper: ReMax, arXiv:2310.10505, algorithm 1.

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import AlgorithmParams, GreedyBaselineAlgo
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import finished, over_tokens
from stdlib.algorithms._ops import kept, policy_loss, reinforce_surrogate
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "policy"


class Params(AlgorithmParams[A]):
    """What ReMax reads of a spec."""

    algo: GreedyBaselineAlgo = setting("Which algorithm.")
    loss: PolicyLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return reward - reward of the greedy response at every token of a response."""
    if experience.baselines_N is None:
        raise InternalError("remax: nobody sampled the greedy responses")
    mask_T, found_T = experience.mask_T, experience.own_advantages_T
    if found_T is None:
        above_N = experience.rewards_N - experience.baselines_N
        found_T = over_tokens(above_N, mask_T, experience.sequence_T)
    return Advantages(finished(found_T, mask_T, params.algo))


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of -A * logp."""
    surrogate = reinforce_surrogate(terms, kept(terms.advantages_T, terms.mask_T))
    return policy_loss(params.loss, terms, totals, surrogate)
