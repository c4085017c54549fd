"""Padded samples fit a micro-batch.

What: with sequence or context parallelism, the longest sample, padded to what those axes divide (tp for the one, twice
cp for the other, and a multiple of both), still fits train.packing.tokens.
Why it matters: packed sequences are padded one by one, so a budget that holds the sample as written is too small for
the sample as trained; it fails on the first one of full length, deep inside an attention kernel.
Example: samples of up to 4,090 tokens with `parallel.cp = 4` and `packing.tokens = 4090`: 4,096 after padding.
Fix: the padded length, which the message has.
Source: TOK-03; NeMo-RL#2110, NeMo-RL PR#2135.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import Subject
from compiler.planner.padding import padded, padding_unit
from compiler.rules._gpu_layout import layout_of, size

CODE = "RLC0523"
ID = "TOK-03"
_CONTEXT, _BUDGET = "rollout.max_context_tokens", "train.packing.tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report budgets that hold the longest sample, and not what padding makes of it."""
    layout = layout_of(subject)
    if layout is None:
        return
    tp, cp = size(layout.parallel.tp), size(layout.parallel.cp)
    unit = padding_unit(layout.parallel)
    for stage in subject.stages():
        budget, rollout = stage.stage.train.packing.tokens, stage.stage.rollout
        if not isinstance(budget, int) or isinstance(rollout, Off) or not isinstance(rollout, Rollout):
            continue
        longest = rollout.max_context_tokens
        if not isinstance(longest, int) or longest > budget:  # another rule's
            continue
        needed = padded(longest, unit)
        if needed > budget:
            axes = subject.labels(("parallel.cp", f"cp = {cp}"), ("parallel.tp", f"tp = {tp}"))
            own = stage.labels((_CONTEXT, f"{longest:,} tokens: {needed:,} padded"), (_BUDGET, f"{budget:,} tokens"))
            shorter = budget // unit * unit
            yield Diagnostic(
                CODE,
                f"a sample of {longest:,} tokens is padded to {needed:,}, a multiple of {unit:,}; a micro-batch holds "
                f"{budget:,}",
                (*(label._replace(is_primary=not own) for label in axes), *own),
                alternatives(
                    stage.fix(_BUDGET, needed),
                    *((stage.fix(_CONTEXT, shorter),) if stage.written(_CONTEXT) and shorter > 1 else ()),
                ),
                rule=ID,
                paths=(stage.path(_BUDGET), stage.path(_CONTEXT), "parallel.tp", "parallel.cp", "parallel.sp"),
            )
