"""Direct preference optimisation: of two answers to a prompt the better one becomes more likely than the worse one.

The margin of a pair is how much more the policy prefers the better answer than the reference does.
Papers: DPO, arXiv:2305.18290, eq. 7; conservative DPO (label smoothing), Mitchell 2023; hinge: SLiC-HF,
arXiv:2305.10425; squared: IPO, arXiv:2310.12036, eq. 17; likelihood of the better answer: RPO, arXiv:2404.19733, eq. 1.
Rewards are reported with beta in them.

Shape letters: T tokens, N answers (better and worse ones in turn), P pairs.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import Algo, AlgorithmParams
from compiler.ir.loss import PreferenceLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._ops import kept, sequence_means, sequence_sums
from stdlib.algorithms._terms import LossOutput, MetricSum, PreferenceTerms, Totals

if TYPE_CHECKING:
    from typing import Never

    from torch import Tensor

KIND: Final = "preference"


class Params(AlgorithmParams[A]):
    """What DPO reads of a spec."""

    algo: Algo = setting("Which algorithm.")
    loss: PreferenceLoss = setting("How margins become one number.")


def loss(params: Params[Never], terms: PreferenceTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of the mean over pairs of preference_coef * preference + sft_coef * likelihood."""
    spec, num_pairs = params.loss, max(totals.num_sequences // 2, 1)
    gain_P2 = _gains(terms, spec)
    margin_P = gain_P2[:, 0] - gain_P2[:, 1]
    preference_P = losses_of_margins(margin_P, spec)
    chosen_P = _answers(terms.logprobs_T, terms, is_mean=spec.sft_average)[::2]
    total = spec.preference_coef * preference_P.sum() - spec.sft_coef * chosen_P.sum()
    rewards_P2 = spec.beta * gain_P2.detach()
    sums = {
        "preference_loss": preference_P,
        "accuracy": (margin_P > 0).to(margin_P.dtype),
        "reward_margin": spec.beta * margin_P,
        "chosen_reward": rewards_P2[:, 0],
        "rejected_reward": rewards_P2[:, 1],
        "chosen_nll": -chosen_P,
    }
    return LossOutput(total / num_pairs, {name: MetricSum(x_P.detach().sum(), "pairs") for name, x_P in sums.items()})


def margins(spec: PreferenceLoss, terms: PreferenceTerms) -> Tensor:
    """Return [P] how much more the policy prefers the better answer of each pair than the reference does, in nats."""
    gain_P2 = _gains(terms, spec)
    return gain_P2[:, 0] - gain_P2[:, 1]


def losses_of_margins(margin_P: Tensor, spec: PreferenceLoss) -> Tensor:
    """Return [P] the preference loss of each pair, without its weight."""
    if spec.kind == "hinge":
        return (1.0 - spec.beta * margin_P).clamp(min=0.0)
    if spec.kind == "ipo":
        return (margin_P - 1.0 / (2.0 * spec.beta)) ** 2
    x_P = spec.beta * margin_P
    wrong, zero = spec.label_smoothing, x_P.new_zeros(())
    # -log sigmoid(x) = log(1 + exp(-x))
    return (1.0 - wrong) * (-x_P).logaddexp(zero) + wrong * x_P.logaddexp(zero)


def _gains(terms: PreferenceTerms, spec: PreferenceLoss) -> Tensor:
    """Return [P, 2] how much likelier each answer is than under the reference: better ones, and worse ones."""
    policy_N = _answers(terms.logprobs_T, terms, is_mean=spec.average_logprobs)
    reference_N = _answers(terms.ref_logprobs_T, terms, is_mean=spec.average_logprobs)
    return (policy_N - reference_N).reshape(-1, 2)


def _answers(logprobs_T: Tensor, terms: PreferenceTerms, *, is_mean: bool) -> Tensor:
    """Return [N] the log-prob of each answer: sum, or mean, over its tokens."""
    if is_mean:
        return sequence_means(logprobs_T, terms.mask_T, terms.sequence_T)
    return sequence_sums(kept(logprobs_T, terms.mask_T), terms.sequence_T)
