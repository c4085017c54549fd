"""Reward modelling: a network with a head of one number learns what answers are worth, from pairs or from scores.

The score of an answer is read at its last token, where the end of sequence stands, as a sequence-classification model
of Hugging Face reads it.  Papers: pairs, the Bradley-Terry model: InstructGPT, arXiv:2203.02155, eq. 1, with one pair
a prompt; the margin of a pair: Llama 2, arXiv:2307.09288, eq. 2; scores around 0: Eisenstein et al., "Helping or
herding?", arXiv:2312.09244, eq. 2; scores by regression: HelpSteer2, arXiv:2406.08673, with one attribute.

Departure: the margin is a number of the data row, where Llama 2 has a table of it by how a person rated the pair.

Shape letters: N answers of one micro-batch (of pairs better and worse ones in turn), P pairs.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import Algo, AlgorithmParams
from compiler.ir.loss import ScoreLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._terms import LossOutput, MetricSum, ScoreTerms, Totals

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

KIND: Final = "reward"


class Params(AlgorithmParams[A]):
    """What a reward model reads of a spec."""

    algo: Algo = setting("Which algorithm.")
    loss: ScoreLoss = setting("What is learnt of the data.")


def loss(params: Params[Never], terms: ScoreTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of the mean over pairs, or over answers where scores are learnt."""
    return _regression(terms, totals) if params.loss.kind == "regression" else _pairs(params.loss, terms, totals)


def losses_of_pairs(gaps_P: Tensor) -> Tensor:
    """Return [P] -log sigmoid of how much more the better answer of each pair scores: its likelihood as the better."""
    return (-gaps_P).logaddexp(gaps_P.new_zeros(()))


def _pairs(spec: ScoreLoss, terms: ScoreTerms, totals: Totals) -> LossOutput:
    scores_P2 = terms.scores_N.reshape(-1, 2)
    gaps_P = scores_P2[:, 0] - scores_P2[:, 1]
    pair_P = losses_of_pairs(gaps_P - terms.targets_N.reshape(-1, 2)[:, 0])
    center_P = scores_P2.sum(dim=1) ** 2
    total = pair_P.sum() if spec.center_coef == 0.0 else pair_P.sum() + spec.center_coef * center_P.sum()
    sums = {
        "preference_loss": pair_P,
        "accuracy": (gaps_P > 0).to(gaps_P.dtype),
        "reward_margin": gaps_P,
        "chosen_reward": scores_P2[:, 0],
        "rejected_reward": scores_P2[:, 1],
        "center": center_P,
    }
    found = {name: MetricSum(x_P.detach().sum(), "pairs") for name, x_P in sums.items()}
    return LossOutput(total / max(totals.num_sequences // 2, 1), found)


def _regression(terms: ScoreTerms, totals: Totals) -> LossOutput:
    error_N = terms.scores_N - terms.targets_N
    sums = {"mse": error_N**2, "abs_error": error_N.abs(), "score": terms.scores_N, "target": terms.targets_N}
    found = {name: MetricSum(x_N.detach().sum(), "sequences") for name, x_N in sums.items()}
    return LossOutput((error_N**2).sum() / max(totals.num_sequences, 1), found)
