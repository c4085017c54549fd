"""Weights, gradients and optimizer state fit the GPU.

What: what a training GPU holds all the time, counted from below, is less than its memory: weights and gradients over
tp x pp (experts over ep x etp x pp), optimizer state over the copies of the model as well; with fsdp2 everything over
the copies.
Why it matters: it runs out of memory before the first step, once the weights have been read on every rank.
Example: a model of 70 billion parameters with `tp = 2` on GPUs of 80 GB.
Fix: split the model over more GPUs; the message says how far. Activations come on top, so what just fits may still be
too much.
Source: MEM-01; NeMo-RL#493, skypilot PR#10269.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.ranks import GIB, RankBytes, Spread
from compiler.rules._gpu_layout import Layout, divisors, fix, gpu_of, held_bytes, layout_of, spread_of

CODE = "RLC0530"
ID = "MEM-01"
_MOST_NODES = 512


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages whose training does not fit, the first of those that need the same."""
    layout, gpu = layout_of(subject), gpu_of(subject)
    spread = None if layout is None else spread_of(layout.parallel)
    if layout is None or gpu is None or spread is None:
        return
    room, seen = int(gpu.memory_gib * GIB), set[int]()
    for stage in subject.stages():
        held = held_bytes(stage, spread)
        if held.total <= room or held.total in seen:
            continue
        seen.add(held.total)
        said = ", ".join(f"{value / GIB:,.1f} GiB of {name}" for name, value in _parts(held))
        labels = subject.labels(
            ("model.name", "the model that is trained"),
            ("parallel.pp", f"over {spread.pp} stages"),
            ("parallel.tp", f"over {spread.tp} GPUs"),
            ("cluster.gpus_per_node", f"{gpu.memory_gib:,} GiB each"),
        )
        yield Diagnostic(
            CODE,
            f"a training GPU holds at least {held.total / GIB:,.1f} GiB ({said}), it has {gpu.memory_gib:,} GiB",
            labels,
            alternatives(*_ways(stage, layout, spread, room)),
            rule=ID,
            paths=("cluster.gpus_per_node", "parallel.tp", "parallel.pp", "parallel.ep", "parallel.dp"),
        )


def _parts(held: RankBytes) -> tuple[tuple[str, int], ...]:
    """Return the parts with their names."""
    return ("weights", held.weights), ("gradients", held.gradients), ("optimizer state", held.optimizer)


def _ways(stage: StageSubject, layout: Layout, spread: Spread, room: int) -> Iterator[Help]:
    """The smallest larger size of each axis that fits, and the smallest number of machines."""
    subject = stage.subject
    gpus = spread.tp * spread.pp * spread.cp * spread.dp
    for axis in ("tp", "pp", "ep"):
        for size in divisors(gpus):
            moved = spread._replace(**{axis: size})
            if axis != "ep":
                moved = moved._replace(dp=gpus // (moved.tp * moved.pp * moved.cp))
            if size > getattr(spread, axis) and _is_possible(subject, moved, gpus) and _fits(stage, moved, room):
                way = fix(f"parallel.{axis}", size)
                if axis != "ep" and subject.written("parallel.dp"):
                    more = fix("parallel.dp", moved.dp)
                    way = Help(f"{way.text} and parallel.dp = {moved.dp}", way.sets + more.sets)
                yield way
                break
    nodes = subject.experiment.cluster.nodes
    if layout.placement.mode != "colocate" or subject.written("parallel.dp") or _fixes_gpus(subject, layout.placement):
        return
    for more in range(nodes + 1, _MOST_NODES + 1):
        if spread.dp * more % nodes == 0:
            moved = spread._replace(dp=spread.dp * more // nodes)
            if _is_possible(subject, moved, gpus * more // nodes) and _fits(stage, moved, room):
                yield fix("cluster.nodes", more)
                return


def _fixes_gpus(subject: Subject, placement: GpuPlacement[object]) -> bool:
    return any(subject.written(f"placement.{side}") and getattr(placement, side) for side in ("train_gpus", "rollout_gpus"))


def _fits(stage: StageSubject, spread: Spread, room: int) -> bool:
    return held_bytes(stage, spread).total <= room


def _is_possible(subject: Subject, spread: Spread, gpus: int) -> bool:
    """Whether the axes divide the model, the GPUs, and every batch."""
    model = subject.experiment.model
    tp, kv = spread.tp, model.num_kv_heads
    shares = kv % tp == 0 or tp % kv == 0 or not isinstance(model.mla, Off)
    experts = 1 if isinstance(model.moe, Off) else model.moe.num_experts
    if spread.dp < 1 or tp * spread.pp * spread.cp * spread.dp != gpus or model.num_heads % tp or not shares:
        return False
    if model.num_layers % spread.pp or experts % spread.ep or gpus // spread.pp % (spread.ep * spread.etp):
        return False
    batches = [stage.train.global_batch for stage in subject.experiment.stages]
    return all(not isinstance(batch, int) or batch % spread.dp == 0 for batch in batches)
