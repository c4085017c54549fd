"""Reward models read what is set.

What: a stage that trains a reward model does not set train.vocab_chunk.
Why it matters: it bounds the memory of logits over the vocabulary, of which a reward model computes none: a number that
changes nothing looks like one that helps.
Example: `train.vocab_chunk = 4096` with `algo.name = "reward_model"`.
Fix: leave it out; a lower train.packing.tokens or train.micro_batch takes less memory.
Source: ALGO-09.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.loss import ScoreLoss
from compiler.ir.subject import Subject

CODE = "RLC0357"
ID = "ALGO-09"

_FIELD = "train.vocab_chunk"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report bounds of logits that nobody computes."""
    stages = list(subject.stages())
    for stage in stages:
        # Where it stands in the shared tables another stage reads it.
        is_own = len(stages) == 1 or stage.path(_FIELD) not in subject.shared
        if isinstance(stage.stage.algorithm.loss, ScoreLoss) and stage.written(_FIELD) and is_own:
            yield Diagnostic(
                CODE,
                f"{stage.shown(_FIELD)} is set, and a reward model has no logits",
                stage.labels(("algo.name", "has a head of one number"), (_FIELD, "has no effect")),
                (Help(f"leave {stage.shown(_FIELD)} out", unsets=(stage.shown(_FIELD),)),),
                rule=ID,
                paths=(stage.path(_FIELD),),
            )
