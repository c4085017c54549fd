"""Logits fit beside the weights.

What: a warning where the logits of one micro-batch, fp32 and one copy of train.vocab_chunk columns, do not fit what
weights, gradients and optimizer state leave of the GPU.
Why it matters: they are the largest of what comes and goes within a step, and run out of memory only when the first
full micro-batch arrives; entropy and a backward pass hold more copies than the one that is counted here.
Example: 131,072 tokens in a micro-batch, with all of a vocabulary of 151,936 at once: 74 GiB.
Fix: fewer columns at once, or fewer tokens in a micro-batch.
Source: MEM-02; slime#1951, TRL#3678, verl#456.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.ranks import GIB, Spread, logit_bytes
from compiler.rules._gpu_layout import gpu_of, held_bytes, layout_of, spread_of

CODE = "RLC0531"
ID = "MEM-02"
_TOKENS, _COLUMNS = "train.packing.tokens", "train.vocab_chunk"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report micro-batches whose logits do not fit; where they hold a number of samples, only the data says."""
    layout, gpu = layout_of(subject), gpu_of(subject)
    spread = None if layout is None else spread_of(layout.parallel)
    if gpu is None or spread is None:
        return
    model = subject.experiment.model
    for stage in subject.stages():
        tokens, columns = stage.stage.train.packing.tokens, stage.stage.train.vocab_chunk
        if not isinstance(tokens, int) or not isinstance(columns, int):
            continue
        room = int(gpu.memory_gib * GIB) - held_bytes(stage, spread).total
        needed = logit_bytes(model, spread, tokens=tokens, columns=columns)
        if 0 < room < needed:
            yield Diagnostic(
                CODE,
                f"logits of {tokens:,} tokens take {needed / GIB:,.1f} GiB, and {room / GIB:,.1f} GiB are left for them",
                (
                    *(found._replace(is_primary=False) for found in subject.labels(("cluster.gpus_per_node", gpu.name))),
                    *stage.labels((_COLUMNS, f"{columns:,} columns at once"), (_TOKENS, f"{tokens:,} tokens at once")),
                ),
                alternatives(*_ways(stage, spread, tokens, columns, room)),
                severity="warning",
                rule=ID,
                paths=(stage.path(_TOKENS), stage.path(_COLUMNS), "cluster.gpus_per_node"),
            )


def _ways(stage: StageSubject, spread: Spread, tokens: int, columns: int, room: int) -> Iterator[Help]:
    """The largest power of two that fits, of columns and of tokens."""
    model = stage.subject.experiment.model
    for power in range(30, 9, -1):
        if 1 << power < columns and logit_bytes(model, spread, tokens=tokens, columns=1 << power) <= room:
            yield stage.fix(_COLUMNS, 1 << power)
            break
