"""Weights, gradients and optimizer state fit the GPU.

What: what a training GPU holds all the time, counted from below, is less than its memory: weights and gradients over
tp x pp (experts over ep x etp x pp), optimizer state over the copies of the model as well; with fsdp2 everything over
the copies.  What Megatron's `optimizer_cpu_offload` keeps on the host is not counted.
Why it matters: it runs out of memory before the first step, once the weights have been read on every rank.
Example: a model of 70 billion parameters with `tp = 2` on GPUs of 80 GB.
Fix: split the model over more GPUs; the message says how far. Activations come on top, so what just fits may still be
too much.
Source: MEM-01; NeMo-RL#493, skypilot PR#10269.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.ranks import GIB
from compiler.rules._gpu_layout import divisors, fix
from compiler.rules.gpu._memory import Machine, divides, held_bytes, written_machine_of

CODE = "RLC0530"
ID = "MEM-01"
_MOST_NODES = 512


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages whose training does not fit, the first of those that need the same."""
    machine = written_machine_of(subject)
    if machine is None:
        return
    spread, gpu = machine.spread, machine.gpu
    seen: set[int] = set()
    for stage in subject.stages():
        held = held_bytes(stage, spread)
        if held.total <= machine.room or held.total in seen:
            continue
        seen.add(held.total)
        parts = (("weights", held.weights), ("gradients", held.gradients), ("optimizer state", held.optimizer))
        said = ", ".join(f"{value / GIB:,.1f} of {name}" for name, value in parts)
        labels = subject.labels(
            ("model.name", "the model that is trained"),
            ("parallel.pp", f"over {spread.pp:,} stages"),
            ("parallel.tp", f"over {spread.tp:,} GPUs"),
            ("cluster.gpus_per_node", f"{gpu.memory_gib:,} GiB each"),
        )
        yield Diagnostic(
            CODE,
            f"a training GPU has {gpu.memory_gib:,} GiB, and holds at least {held.total / GIB:,.1f} GiB: {said}",
            labels,
            alternatives(*_ways(stage, machine)),
            rule=ID,
            paths=("cluster.gpus_per_node", "parallel.tp", "parallel.pp", "parallel.ep", "parallel.dp"),
        )


def _ways(stage: StageSubject, machine: Machine) -> Iterator[Help]:
    """The shorter format, the smallest larger size of each axis that fits, and the smallest number of machines."""
    subject, spread, gpus = stage.subject, machine.spread, machine.training_gpus
    if stage.stage.train.precision == "fp32" and held_bytes(stage, spread, precision="bf16").total <= machine.room:
        yield stage.fix("train.precision", "bf16")
    for axis in ("tp", "pp", "ep"):
        for size in divisors(gpus):
            moved = spread._replace(**{axis: size})
            if axis != "ep":
                moved = moved._replace(dp=gpus // (moved.tp * moved.pp * moved.cp))
            if axis == "pp" and subject.experiment.model.num_layers % size:
                continue
            is_larger = size > getattr(spread, axis)
            if is_larger and divides(subject, moved, gpus) and held_bytes(stage, moved).total <= machine.room:
                way = fix(f"parallel.{axis}", size)
                if axis != "ep" and subject.written("parallel.dp"):
                    more = fix("parallel.dp", moved.dp)
                    way = Help(f"{way.text} and parallel.dp = {moved.dp}", way.sets + more.sets)
                yield way
                break
    nodes = subject.experiment.cluster.nodes
    fixed = ("parallel.dp", "placement.train_gpus", "placement.rollout_gpus")
    if machine.layout.placement.mode != "colocate" or any(map(subject.written, fixed)):
        return
    for more_nodes in range(nodes + 1, _MOST_NODES + 1):
        copies, rest = divmod(spread.dp * more_nodes, nodes)
        moved = spread._replace(dp=copies)
        fills = rest == 0 and divides(subject, moved, gpus * more_nodes // nodes)
        if fills and held_bytes(stage, moved).total <= machine.room:
            yield fix("cluster.nodes", more_nodes)
            return
