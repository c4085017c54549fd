"""A divergence over the teacher's most likely tokens has some to compare.

What: `loss.topk` is at least 2 where probability outside of those tokens is left out.
Why it matters: left out means that the probabilities of the tokens that are kept are scaled to add up to 1.  Of one
token that is the number 1, for teacher and student alike: loss and gradient are 0 at every step, and nothing is learnt.
Example: `loss.topk = 1` with `loss.outside_topk = "left_out"`.
Fix: 64 tokens, the default, or all that there are; or `loss.outside_topk = "zero"`, which keeps probabilities.
Source: DISTILL-03; NeMo-RL's distillation, `topk_logits_k` and `zero_outside_topk`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.loss import DistillationLoss
from compiler.ir.subject import Subject

CODE = "RLC0358"
ID = "DISTILL-03"

_TOPK = "loss.topk"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report one token that is scaled to 1."""
    for stage in subject.stages():
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, DistillationLoss) or loss.vocabulary != "topk":
            continue
        if loss.topk == 1 and loss.outside_topk == "left_out":
            yield Diagnostic(
                CODE,
                "of one token, scaled to add up to 1, teacher and student always say the same: nothing is learnt",
                stage.labels((_TOPK, "one token"), ("loss.outside_topk", "scales it to 1")),
                alternatives(
                    stage.fix(_TOPK, min(64, subject.experiment.model.vocab_size)),
                    stage.fix("loss.outside_topk", "zero"),
                ),
                rule=ID,
                paths=(stage.path(_TOPK),),
            )
