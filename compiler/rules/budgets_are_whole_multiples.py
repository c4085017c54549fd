"""Budgets are whole multiples.

What: train.packing.tokens is a multiple of train.packing.pad_multiple.
Why it matters: a micro-batch is filled up to a multiple after it was packed, so one that is almost full would end above
the budget, and a budget is what keeps it within memory.
Example: `packing.tokens = 1000` with `packing.pad_multiple = 128`: 1,024 tokens after padding.
Fix: the next multiple, or one that divides the budget.
Source: TOK-03; slime's data-pad-size-multiplier, NeMo-RL's make_sequence_length_divisible_by.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.subject import Subject
from compiler.planner.padding import padded

CODE = "RLC0354"
ID = "TOK-03"
_BUDGET, _MULTIPLE = "train.packing.tokens", "train.packing.pad_multiple"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report budgets that padding would exceed."""
    for stage in subject.stages():
        packing = stage.stage.train.packing
        budget, multiple = packing.tokens, packing.pad_multiple
        if isinstance(budget, int) and budget % multiple:
            needed = padded(budget, multiple)
            yield Diagnostic(
                CODE,
                f"a micro-batch holds {budget:,} tokens, and is filled up to {needed:,}, a multiple of {multiple:,}",
                stage.labels((_MULTIPLE, f"multiples of {multiple:,}"), (_BUDGET, f"{budget:,} tokens")),
                alternatives(stage.fix(_BUDGET, needed)),
                rule=ID,
                paths=(stage.path(_BUDGET), stage.path(_MULTIPLE)),
            )
