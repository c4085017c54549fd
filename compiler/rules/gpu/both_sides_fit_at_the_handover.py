"""Both sides fit while weights are handed over.

What: where training and rollout share GPUs, the trainer's weights and the engine's lie on one GPU at the same time when
one hands over to the other; counted from below, both fit its memory.
Why it matters: each side alone has room, so the first rollout runs and the first step too; what fails is the waking of
the engine after it, and is then mended by trying smaller shares of memory.
Example: a model of 70 billion parameters on GPUs of 80 GB, with `tp = 4` and `gpus_per_engine = 2`: 33 GiB of the
trainer and 66 GiB of the engine.
Fix: split one side over more GPUs, or give both sides GPUs of their own; a hand-over layer by layer, which holds less,
is allowed with a reason.
Source: MEM-04; NeMo-RL#191, NeMo-RL#72, lmm-r1#43.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.sides import has_engine
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.ranks import GIB, engine_formats, engine_weight_bytes
from compiler.planner.splits import heads_split
from compiler.rules._gpu_layout import divisors, fix
from compiler.rules.gpu._memory import Machine, divides, handover_fits, held_bytes, written_machine_of

CODE = "RLC0537"
ID = "MEM-04"
_TP, _ENGINE = "parallel.tp", "placement.gpus_per_engine"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages whose two sets of weights do not fit, the first of those that need the same."""
    machine = written_machine_of(subject)
    if machine is None or machine.layout.placement.mode != "colocate":
        return
    model, each, spread = subject.experiment.model, machine.layout.each, machine.spread
    seen: set[int] = set()
    for stage in subject.stages():
        if isinstance(stage.stage.rollout, Off) or not has_engine(stage.stage):
            continue
        asleep = engine_weight_bytes(model, each, engine_formats(stage.stage.rollout.engine))
        held = held_bytes(stage, spread)
        alone_fit = held.total <= machine.room and asleep <= machine.room  # either one alone is another rule's
        if not alone_fit or handover_fits(stage, machine, spread, each) or held.weights in seen:
            continue
        seen.add(held.weights)
        labels = subject.labels(
            ("cluster.gpus_per_node", f"{machine.gpu.memory_gib:,} GiB each"),
            ("placement.mode", "on the same GPUs"),
            (_TP, f"over {spread.tp:,} GPUs"),
            (_ENGINE, f"over {each:,} GPUs"),
        )
        yield Diagnostic(
            CODE,
            f"while weights are handed over a GPU of {machine.gpu.memory_gib:,} GiB holds "
            f"{held.weights / GIB:,.1f} GiB of the trainer and {asleep / GIB:,.1f} GiB of the engine",
            labels,
            alternatives(*_ways(stage, machine)),
            rule=ID,
            paths=("cluster.gpus_per_node", "placement.mode", _TP, _ENGINE),
            is_judgement=True,
        )


def _ways(stage: StageSubject, machine: Machine) -> Iterator[Help]:
    """The smallest larger engine that fits beside the trainer; the smallest larger tp that fits beside the engine."""
    subject, spread, gpus = stage.subject, machine.spread, machine.training_gpus
    model, each = subject.experiment.model, machine.layout.each
    for size in divisors(gpus):
        if size > each and heads_split(model, size) and handover_fits(stage, machine, spread, size):
            yield fix(_ENGINE, size)
            break
    if subject.written("parallel.dp"):
        return
    for size in divisors(gpus):
        moved = spread._replace(tp=size, dp=gpus // (size * spread.pp * spread.cp))
        if size > spread.tp and divides(subject, moved, gpus) and handover_fits(stage, machine, moved, each):
            yield fix(_TP, size)
            return
