"""On-policy distillation: the student samples, and learns the teacher's whole distribution at every token it sampled.

Nothing is judged: the rows are prompts.  The gradient flows through the student's distribution, and not through what
was sampled.  Papers: GKD, arXiv:2306.13649, eq. 4 with all of the data sampled by the student; reverse divergence:
MiniLLM, arXiv:2306.08543, section 2.1, whose gradient also follows the sampling: here that is the algorithm
`opd`; Qwen3, arXiv:2505.09388, section 4.5 (from a larger model, on the student's samples).
Departures from GKD: the mixture is a weighted sum of both divergences, as NeMo-RL has it, and not the Jensen-Shannon
divergence.

Shape letters: T tokens of one micro-batch.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.ir.algorithm import Algo, TaughtParams
from compiler.ir.loss import DistillationLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._ops import kept, masked_sum, token_weights
from stdlib.algorithms._terms import DistillationTerms, LossOutput, MetricSum, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "distillation"


class Params(TaughtParams[A]):
    """What distillation reads of a spec."""

    algo: Algo = setting("Which algorithm.")
    loss: DistillationLoss = setting("What is compared, and how tokens become one number.")


def loss(params: Params[Never], terms: DistillationTerms, totals: Totals) -> LossOutput:
    """Return the share of the mean of w KL(teacher || student) + (1 - w) KL(student || teacher).

    w is 1 for the forward divergence, 0 for the reverse one; both are reported, as means over tokens in nats.
    """
    spec, mask_T = params.loss, terms.mask_T
    forward_T, reverse_T = kept(terms.forward_kl_T, mask_T), kept(terms.reverse_kl_T, mask_T)
    if spec.divergence == "forward":
        kl_T = forward_T
    elif spec.divergence == "reverse":
        kl_T = reverse_T
    else:
        kl_T = spec.forward_weight * forward_T + (1.0 - spec.forward_weight) * reverse_T
    sums = {"kl": kl_T, "forward_kl": forward_T, "reverse_kl": reverse_T}
    total = (token_weights(terms, totals, spec) * kl_T).sum()
    return LossOutput(total, {name: MetricSum(masked_sum(x_T, mask_T), "tokens") for name, x_T in sums.items()})
