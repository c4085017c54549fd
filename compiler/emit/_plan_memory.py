"""What fills a GPU of each class and the RAM of a machine, phase by phase, as bars with their largest lines."""

from __future__ import annotations

from compiler.emit._plan_text import Sheet, said, sentence
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.planner.chosen import HEADROOM_FRAC
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.engine import CACHE
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.phases import HOST, Phase, phases_of

_BAR_CELLS = 20
_SAID_LINES = 3
_OF_ROWS = ("train", "log-probs")
_FULL, _EMPTY = "\u2588", "\u2591"


def write_phases(sheet: Sheet, plan: Plan, gpu: Gpu, *, is_chosen: bool = False) -> None:
    """Add a row for each phase of each stage, and one for the RAM of a machine.

    Args:
        is_chosen: whether the planner chose the layout, of which the page then says when it leaves little free.
    """
    stages = plan.experiment.stages
    is_tight = False
    for stage in stages:
        job = stage_job(plan.experiment, stage, gpu)
        if job is None:
            continue
        if len(stages) > 1:
            sheet.row("", f"{said(stage.name)}:")
        for phase in phases_of(job, CONSTANTS):
            is_bound = isinstance(stage.rollout, Off) and phase.name in _OF_ROWS
            sheet.row(phase.name, _of_gpu(phase, gpu, is_bound=is_bound) if phase.device != HOST else _of_host(phase))
            is_tight |= phase.device != HOST and not is_bound and not leaves_headroom(phase, gpu)
    if is_chosen and is_tight:
        sheet.row(
            "", f"no layout that leaves {HEADROOM_FRAC:.0%} of a GPU free was found, and the model may be that far off"
        )


def leaves_headroom(phase: Phase, gpu: Gpu) -> bool:
    """Whether a phase leaves free what a choice leaves free where it can, an engine's cache aside."""
    held = sum(line.bytes for line in phase.lines if line.name != CACHE)
    return held <= gpu.memory_gib * GIB * (1 - HEADROOM_FRAC)


def _of_gpu(phase: Phase, gpu: Gpu, *, is_bound: bool) -> str:
    """The bar of a phase; where only the data says how long rows are, that of the longest that there may be."""
    share = phase.bytes / GIB / gpu.memory_gib if gpu.memory_gib else 0.0
    full = min(_BAR_CELLS, round(share * _BAR_CELLS))
    bar = _FULL * full + _EMPTY * (_BAR_CELLS - full)
    most = "at most " if is_bound else ""
    size = f"{most}{phase.bytes / GIB:,.1f} of {gpu.memory_gib:,} GiB of a {phase.device}: {_largest(phase)}"
    return f"{bar} {size}"


def _of_host(phase: Phase) -> str:
    return f"{phase.bytes / GIB:,.1f} GiB of a {phase.device}: {_largest(phase)}"


def _largest(phase: Phase) -> str:
    lines = sorted(phase.lines, key=lambda line: -line.bytes)[:_SAID_LINES]
    return sentence(*(f"{line.name} {line.bytes / GIB:,.1f}" for line in lines))
