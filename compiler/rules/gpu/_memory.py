"""What the rules about memory share: the GPU, the axes where all are known, and what training holds."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.chosen import is_chosen
from compiler.planner.engine_settings import number_of
from compiler.planner.forecast import stage_bytes
from compiler.planner.ranks import GIB, RankBytes, Spread, engine_formats, engine_weight_bytes
from compiler.planner.splits import heads_split, trainers_copy_heads
from compiler.rules._gpu_layout import Layout, layout_of


class Machine(NamedTuple):
    """A layout that fills its GPUs, on a GPU that is known."""

    layout: Layout
    spread: Spread
    gpu: Gpu

    @property
    def room(self) -> int:
        """The bytes of one GPU."""
        return int(self.gpu.memory_gib * GIB)

    @property
    def training_gpus(self) -> int:
        """How many train."""
        return self.spread.tp * self.spread.pp * self.spread.cp * self.spread.dp


def machine_of(subject: Subject) -> Machine | None:
    """Return the machine, or None where an axis is open, does not come out even, or nobody knows the GPU."""
    layout, name = layout_of(subject), subject.experiment.cluster.gpu
    gpu = subject.catalogue.load_hardware().get(name) if isinstance(name, str) else None
    if layout is None or gpu is None:
        return None
    axes = [getattr(layout.parallel, axis) for axis in Spread._fields]
    if not all(isinstance(size, int) for size in axes):
        return None
    found = Machine(layout, Spread(*axes), gpu)
    fills = found.training_gpus == layout.placement.train_gpus
    return found if fills and divides(subject, found.spread, found.training_gpus) else None


def written_machine_of(subject: Subject) -> Machine | None:
    """Return the machine, or None where the planner chose the layout: another rule says then that none fits."""
    return None if is_chosen(subject.origins) else machine_of(subject)


def divides(subject: Subject, spread: Spread, gpus: int) -> bool:
    """Whether axes come out even: over the GPUs, over the model, and over every batch."""
    model, tp = subject.experiment.model, spread.tp
    if (
        spread.dp < 1
        or tp * spread.pp * spread.cp * spread.dp != gpus
        or not heads_split(model, tp, copies=trainers_copy_heads(subject))
    ):
        return False
    experts = 1 if isinstance(model.moe, Off) else model.moe.num_experts
    if experts % spread.ep or gpus // spread.pp % (spread.ep * spread.etp):
        return False
    batches = [stage.train.global_batch for stage in subject.experiment.stages]
    return all(not isinstance(batch, int) or batch % spread.dp == 0 for batch in batches)


def held_bytes(stage: StageSubject, spread: Spread, *, precision: str = "") -> RankBytes:
    """Return what one training GPU holds for the whole of a stage, its critic and teacher included."""
    return stage_bytes(stage.subject.experiment.model, stage.stage, spread, precision=precision)


def handover_fits(stage: StageSubject, machine: Machine, spread: Spread, each: int) -> bool:
    """Whether one GPU holds the trainer's weights and, where both sides share it, an engine's over so many GPUs."""
    if machine.layout.placement.mode != "colocate":
        return True
    rollout = stage.stage.rollout
    if isinstance(rollout, Off):
        return True
    engine = engine_weight_bytes(stage.subject.experiment.model, each, engine_formats(rollout.engine))
    return held_bytes(stage, spread).weights + engine <= machine.room


def engine_room(stage: StageSubject, machine: Machine) -> int:
    """Return the bytes that a rollout engine may take of one GPU: all, unless the stage says which share."""
    share = number_of(stage, "rollout", "mem_fraction_static") or number_of(stage, "rollout", "gpu_memory_utilization")
    return machine.room if share is None else int(machine.room * min(share, 1.0))
