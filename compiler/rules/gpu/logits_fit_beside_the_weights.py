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
from compiler.ir.sides import trains
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.forecast import trains_scores
from compiler.planner.ranks import GIB, logit_bytes
from compiler.rules.gpu._memory import Machine, held_bytes, machine_of

CODE = "RLC0531"
ID = "MEM-02"
_TOKENS, _COLUMNS = "train.packing.tokens", "train.vocab_chunk"
_FEWEST_BITS, _MOST_BITS = 10, 30


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report micro-batches whose logits do not fit; where they hold a number of samples, only the data says."""
    machine = machine_of(subject)
    if machine is None:
        return
    for stage in subject.stages():
        tokens, columns = stage.stage.train.packing.tokens, stage.stage.train.vocab_chunk
        if not isinstance(tokens, int) or not isinstance(columns, int) or trains_scores(stage.stage):
            continue
        if not trains(stage.stage):
            continue
        room = machine.room - held_bytes(stage, machine.spread).total
        needed = logit_bytes(subject.experiment.model, machine.spread, tokens=tokens, columns=columns)
        if 0 < room < needed:
            above = subject.labels(("cluster.gpus_per_node", f"{machine.gpu.memory_gib:,} GiB each"))
            said = ((_COLUMNS, f"{columns:,} columns at once"), (_TOKENS, f"{tokens:,} tokens at once"))
            own = stage.labels(*said)
            yield Diagnostic(
                CODE,
                f"logits of {tokens:,} tokens take {needed / GIB:,.1f} GiB, and {room / GIB:,.1f} GiB are left",
                (*(label._replace(is_primary=not own) for label in above), *own),
                alternatives(*_ways(stage, machine, tokens, room)),
                rule=ID,
                severity="warning",
                paths=(stage.path(_TOKENS), stage.path(_COLUMNS), "cluster.gpus_per_node"),
            )


def _ways(stage: StageSubject, machine: Machine, tokens: int, room: int) -> Iterator[Help]:
    """The largest power of two that fits, of columns."""
    model = stage.subject.experiment.model
    for bits in range(_MOST_BITS, _FEWEST_BITS, -1):
        columns = 1 << bits
        if columns < model.vocab_size and logit_bytes(model, machine.spread, tokens=tokens, columns=columns) <= room:
            yield stage.fix(_COLUMNS, columns)
            return
