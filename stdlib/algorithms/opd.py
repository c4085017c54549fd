"""On-policy distillation by policy gradient: what the teacher says of each sampled token is that token's advantage.

The reverse KL divergence of one token is estimated from the token that was sampled, log student - log teacher, and
taken off its advantage; the clipped surrogate of PPO does the rest.  It asks the teacher for one log-prob a token,
where `distillation` compares whole distributions.  Sources: MiniLLM, arXiv:2306.08543, eq. 3, the part of a single
step; Lu and Thinking Machines Lab, "On-Policy Distillation", 2025 (discount 0: a token answers for itself alone).
slime's on-policy distillation is added to the advantages of rewards, `algo.rewards = "group"`; NeMo-RL's takes their
place, "none".

Shape letters: T tokens, N samples.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import TaughtParams, TeacherAlgo
from compiler.ir.loss import ClippedLoss
from compiler.ir.openness import A
from compiler.ir.record import setting
from stdlib.algorithms._advantages import finished, within_groups
from stdlib.algorithms._ops import clipped_surrogate, kept, log_ratios, policy_loss
from stdlib.algorithms._terms import Advantages, Experience, LossOutput, PolicyTerms, Totals

if TYPE_CHECKING:
    from typing import Never

KIND: Final = "distillation"


class Params(TaughtParams[A]):
    """What distillation by policy gradient reads of a spec."""

    algo: TeacherAlgo = setting("Which algorithm, and what an advantage is made of.")
    loss: ClippedLoss[A] = setting("How token losses become one number.")


def advantages(params: Params[Never], experience: Experience) -> Advantages:
    """Return -teacher_coef (log student - log teacher) of each sampled token, plus what [algo] rewards says.

    The student is the policy that sampled.  What rewards add is there before whitening, which sees the sum.
    """
    algo, mask_T = params.algo, experience.mask_T
    if experience.old_logprobs_T is None or experience.teacher_logprobs_T is None:
        raise InternalError("opd: nobody asked the teacher")
    gap_T = kept(experience.old_logprobs_T, mask_T) - kept(experience.teacher_logprobs_T, mask_T)
    found_T = -algo.teacher_coef * gap_T
    if algo.rewards == "group":
        found_T = found_T + within_groups(experience, algo)
    return Advantages(finished(found_T, mask_T, algo))


def loss(params: Params[Never], terms: PolicyTerms, totals: Totals) -> LossOutput:
    """Return the micro-batch's share of clipped surrogate - entropy_coef * entropy + kl.coef * KL."""
    advantages_T = kept(terms.advantages_T, terms.mask_T)
    surrogate = clipped_surrogate(log_ratios(terms, params.loss), advantages_T, params.loss)
    return policy_loss(params.loss, terms, totals, surrogate)
