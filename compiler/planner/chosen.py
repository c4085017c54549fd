"""Whether the planner chose a layout, told from the origins of its settings, and what it may choose."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import Auto
from compiler.ir.provenance import Origin, Provenance

BY = "choose_layout"
AXES = ("tp", "sp", "pp", "vpp", "cp", "ep", "etp", "dp")
SIDES = ("mode", "train_gpus", "rollout_gpus", "gpus_per_engine")
OF_STAGES = ("recompute", "tokens")
CHOOSABLE = (*AXES, *SIDES, *OF_STAGES)
HEADROOM_FRAC = 0.07  # of a GPU that is left free where it can be: no held-out peak is further under (ADR 0060)

_OF_PARALLEL = (*AXES, "pp_first_layers", "pp_last_layers")
_RECOMPUTE = "train.engine.megatron.recompute_"
_DEFAULTS = ("lay_out_gpus", "GPU identity", "budget_micro_batches", BY)
AFTERWARDS = ("place_actors", "set_environment", "launch_engines", "count_budget", "derive_timeouts")


def is_chosen(origins: Provenance) -> bool:
    """Whether the planner chose how training is spread."""
    origin = origins.get("parallel.tp")
    return origin is not None and origin.by == BY


def is_left_out(origins: Provenance, path: str) -> bool:
    """Whether nobody decided a setting: no spec, no recipe, no requirement, nothing but the compiler's own filling."""
    origin = origins.get(path)
    return origin is None or _is_filled(origin)


def left_out(experiment: Experiment[Auto], origins: Provenance) -> frozenset[str]:
    """Return what the planner chooses: nothing, unless all of [parallel] is left out; else what else is, too."""
    if not isinstance(experiment.parallel, Parallel) or not isinstance(experiment.placement, GpuPlacement):
        return frozenset()
    if not all(is_left_out(origins, f"parallel.{axis}") for axis in _OF_PARALLEL):
        return frozenset()
    return undecided(origins)


def undecided(origins: Provenance) -> frozenset[str]:
    """Return the names of CHOOSABLE that nobody decided, and from which nothing else was derived."""
    names = {axis for axis in AXES if is_left_out(origins, f"parallel.{axis}")}
    names |= {side for side in SIDES if is_left_out(origins, f"placement.{side}")}
    used = {field for path, origin in origins.items() if not _follows(path, origin) for field in origin.inputs}
    names -= {axis for axis in AXES if f"parallel.{axis}" in used}
    names -= {side for side in SIDES if f"placement.{side}" in used}
    return frozenset((*names, *OF_STAGES))


def paths_of(name: str, num_stages: int) -> Iterator[str]:
    """Yield the settings that a name of CHOOSABLE stands for."""
    if name in AXES:
        yield f"parallel.{name}"
    elif name in SIDES:
        yield f"placement.{name}"
    else:
        field = "train.packing.tokens" if name == "tokens" else f"{_RECOMPUTE}granularity"
        for index in range(num_stages):
            yield f"stages.{index}.{field}"


def _is_filled(origin: Origin) -> bool:
    return origin.kind in ("default", "assumed") or (
        origin.kind == "derived" and origin.span is None and origin.by in _DEFAULTS
    )


def _follows(path: str, origin: Origin) -> bool:
    """Whether a value follows a choice by itself: the layout's own, who sits where, and what later passes derive."""
    of_layout = path.startswith(("parallel.", "placement.")) or path.endswith(".train.packing.tokens")
    return of_layout or origin.by in AFTERWARDS
