"""Supervised fine-tuning: the negative log-likelihood of the label's tokens.

Shape letter: T tokens of one micro-batch.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import Algo, AlgorithmParams
from compiler.ir.loss import LikelihoodLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._ops import kept, masked_sum, token_weights
from stdlib.algorithms._terms import LossOutput, MetricSum, SupervisedTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "supervised"


class Params(AlgorithmParams[A]):
    """What supervised fine-tuning reads of a spec."""

    algo: Algo = setting("Which algorithm.")
    loss: LikelihoodLoss = setting("How token losses become one number.")


def loss(params: Params[Never], terms: SupervisedTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of the mean of -logp; `nll` is always the mean over tokens, in nats."""
    nll_T = -kept(terms.logprobs_T, terms.mask_T)
    weight_T = token_weights(terms, totals, params.loss)
    metrics = {"nll": MetricSum(masked_sum(nll_T, terms.mask_T), "tokens")}
    return LossOutput((weight_T * nll_T).sum(), metrics)
