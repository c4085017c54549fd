"""FSDP2's shards come out even.

What: `dp_replicate_size` divides dp; a number for `reshard_after_forward` divides the GPUs that hold one copy of the
weights in shards, dp / dp_replicate_size x cp of them, and is neither 1 nor all of them.
Why it matters: the mesh of devices cannot be made, or torch refuses the number when the first layer is sharded, after
every process has started.
Example: `dp_replicate_size = 3` over 8 copies.
Fix: a divisor; true and false say what all of the GPUs and one of them would.
Source: PAR-02; torch.distributed.fsdp.fully_shard: reshard_after_forward; NeMo-RL's check of dp_replicate_size.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.subject import StageSubject, Subject
from compiler.ir.training import Fsdp2
from compiler.rules._gpu_layout import divisors, fills_the_gpus, layout_of, near_divisors, size

CODE = "RLC0403"
ID = "PAR-02"
_GROUPS, _RESHARD = "train.engine.fsdp2.dp_replicate_size", "train.engine.fsdp2.reshard_after_forward"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report groups and parts that leave a rest."""
    layout = layout_of(subject)
    if layout is None or not isinstance(layout.parallel.dp, int) or not fills_the_gpus(layout):
        return
    copies = layout.parallel.dp
    for stage in subject.stages():
        fsdp2 = stage.stage.train.engine.fsdp2
        if not isinstance(fsdp2, Fsdp2):
            continue
        groups, parts = fsdp2.dp_replicate_size, fsdp2.reshard_after_forward
        if copies % groups:
            said = f"{copies:,} copies cannot be divided into {groups:,} groups of shards"
            yield _diagnostic(stage, said, _GROUPS, near_divisors(copies, groups))
            continue
        shards = copies // groups * size(layout.parallel.cp)
        if not isinstance(parts, bool) and (parts <= 1 or parts >= shards or shards % parts):
            said = f"weights in {shards:,} shards cannot be kept in {parts:,} after a layer's forward pass"
            yield _diagnostic(stage, said, _RESHARD, [*divisors(shards)[1:-1][:3], True])


def _diagnostic(stage: StageSubject, message: str, path: str, values: list[int]) -> Diagnostic:
    above = stage.subject.labels(("parallel.dp", "copies"), ("parallel.tp", "leaves fewer or more copies"))
    labels = (*(label._replace(is_primary=False) for label in above), *stage.labels((path, "does not divide them")))
    ways = alternatives(*(stage.fix(path, value) for value in values))
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=("parallel.dp", stage.path(path)))
