"""Packing has a budget.

What: train.packing.algorithm and train.packing.balance are set only where train.packing.tokens bounds a micro-batch.
Why it matters: micro-batches of a number of samples are cut in the order in which samples come, so an algorithm or a
balance would change nothing, and whoever wrote it believes that it does.
Example: `train.micro_batch = 8` beside `train.packing.balance = "flops"`.
Fix: delete train.micro_batch, which leaves the token budget to the compiler; or delete what packs.
Source: CFG-02; slime's V13, which asks for a token budget where FLOPs are balanced.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0353"
ID = "CFG-02"
_FIELDS = ("train.packing.algorithm", "train.packing.balance")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what would pack, where micro-batches are counted in samples."""
    for stage in subject.stages():
        samples, packing = stage.stage.train.micro_batch, stage.stage.train.packing
        if isinstance(samples, Off) or isinstance(packing.tokens, int):  # both bounds are another rule's
            continue
        for field in _FIELDS:
            if stage.written(field) and not isinstance(getattr(packing, field.rpartition(".")[2]), Off):
                yield Diagnostic(
                    CODE,
                    f"micro-batches of {samples:,} samples are not packed, so nothing reads {stage.shown(field)}",
                    stage.labels(
                        ("train.micro_batch", f"{samples:,} samples, in the order in which they come"),
                        (field, "has no effect"),
                    ),
                    alternatives(
                        Help(
                            f"delete {stage.shown('train.micro_batch')}: a token budget then bounds micro-batches",
                            unsets=(stage.shown("train.micro_batch"),),
                        ),
                        Help(f"delete {stage.shown(field)}", unsets=(stage.shown(field),)),
                    ),
                    rule=ID,
                    paths=(stage.path("train.micro_batch"), stage.path(field)),
                )
