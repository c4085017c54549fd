"""One knob sets one quantity.

What: a micro-batch is bounded by a number of samples or by a number of tokens, not by both.
Why it matters: with two knobs for one quantity one of them is ignored, or a factor is applied twice.
Example: `train.micro_batch = 8` beside `train.packing.tokens = 4096`.
Fix: keep one of them; the token budget wastes nothing when lengths differ.
Source: BATCH-08; TRL#3980, TRL#3662, TRL#3532.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import Subject

CODE = "RLC0305"
ID = "BATCH-08"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that set both bounds of a micro-batch, or neither."""
    for stage in subject.stages():
        samples, tokens = stage.stage.train.micro_batch, stage.stage.train.packing.tokens
        paths = (stage.path("train.micro_batch"), stage.path("train.packing.tokens"))
        if isinstance(samples, int) and isinstance(tokens, int):
            yield Diagnostic(
                CODE,
                "two fields set the size of a micro-batch",
                stage.labels(
                    ("train.packing.tokens", f"{tokens:,} tokens"), ("train.micro_batch", f"or {samples:,} samples?")
                ),
                alternatives(
                    Help(
                        f"delete {stage.shown('train.micro_batch')}: micro-batches then hold up to {tokens:,} tokens",
                        unsets=(stage.shown("train.micro_batch"),),
                    ),
                    stage.fix("train.packing.tokens", "off"),
                ),
                rule=ID,
                paths=paths,
            )
        elif isinstance(samples, Off) and not isinstance(tokens, (int, Auto)):
            yield Diagnostic(
                CODE,
                "nothing sets the size of a micro-batch",
                stage.labels(("train.packing.tokens", "no token budget, and no number of samples")),
                (stage.fix("train.packing.tokens", "auto"),),
                rule=ID,
                paths=paths,
            )
