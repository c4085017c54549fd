"""Whether the planner chose a layout, told from the origins of its settings, and what it may choose."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Any
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import AUTO, Auto
from compiler.ir.options import SHARES
from compiler.ir.paths import read
from compiler.ir.provenance import Origin, Provenance

BY = "choose_layout"
AXES = ("tp", "sp", "pp", "vpp", "cp", "ep", "etp", "dp")
SIDES = ("mode", "train_gpus", "rollout_gpus", "gpus_per_engine")
OF_STAGES = ("recompute", "sharding", "tokens", "engine_way", "share")
CHOOSABLE = (*AXES, *SIDES, *OF_STAGES)
SCHEDULE = "schedule"  # chosen only where it is asked for: what a loop learns is not its layout
HEADROOM_FRAC = 0.07  # of a GPU that is left free where it can be: no held-out peak is further under (ADR 0060)

_OF_PARALLEL = (*AXES, "pp_first_layers", "pp_last_layers")
_RECOMPUTE = "train.engine.megatron.recompute_"
_FIELDS = {
    "sharding": "train.engine.fsdp2.reshard_after_forward",
    "tokens": "train.packing.tokens",
    "recompute": f"{_RECOMPUTE}granularity",
    "engine_way": "rollout.engine.sglang.ep_size",
    SCHEDULE: "schedule.mode",
}
_FOLLOWS = ("dp", "sp")
_DEFAULTS = ("lay_out_gpus", "GPU identity", "budget_micro_batches", BY)
AFTERWARDS = ("place_actors", "set_environment", "launch_engines", "count_budget", "derive_timeouts")


def is_chosen(origins: Provenance) -> bool:
    """Whether the planner chose anything of the layout."""
    origin = origins.get("parallel.tp")
    return origin is not None and (
        origin.by == BY or (bool(origins.asked) and any(other.by == BY for _, other in origins.items()))
    )


def asked_for(experiment: Experiment[Auto], origins: Provenance) -> frozenset[str]:
    """Return the settings that say "auto", before anything is decided."""
    paths = [path for name in (*AXES, *SIDES) for path in paths_of(name, 0)]
    paths += [path for name in ("tokens", SCHEDULE) for path in paths_of(name, len(experiment.stages))]
    open_paths = (path for path in paths if path in origins and origins[path].kind != "default")
    shares = (path for path in paths_of("share", len(experiment.stages)) if path in origins)
    return frozenset(
        (
            *(path for path in open_paths if read(experiment, path) is AUTO),
            *(path for path in shares if not _is_given(experiment, path)),
        )
    )


def _is_given(experiment: Experiment[Auto], path: str) -> bool:
    """Whether an engine is given a setting; one that is to be chosen has an origin and no value."""
    try:
        read(experiment, path)
    except KeyError:
        return False
    return True


def is_left_out(origins: Provenance, path: str) -> bool:
    """Whether nobody decided a setting: no spec, no recipe, no requirement, nothing but the compiler's own filling."""
    origin = origins.get(path)
    return origin is None or _is_filled(origin)


def left_out(experiment: Experiment[Any], origins: Provenance) -> frozenset[str]:
    """Return what the planner chooses: all that is left out where all of [parallel] is, otherwise what says "auto".

    What follows a choice is then open too: dp and sp, the GPUs of sides, with micro-batches what is computed again,
    with engines their share of memory, and with a schedule who has which GPUs.
    """
    if not isinstance(experiment.parallel, Parallel) or not isinstance(experiment.placement, GpuPlacement):
        return frozenset()
    free, count = undecided(origins), len(experiment.stages)
    names = {name for name in (*CHOOSABLE, SCHEDULE) if not origins.asked.isdisjoint(paths_of(name, count))} & free
    if is_table_left_out(origins):
        return free - {SCHEDULE} | (names & {SCHEDULE})
    if names <= set(_FOLLOWS):
        return frozenset()
    more = {*_FOLLOWS}
    more |= set(SIDES[:3]) if SCHEDULE in names else set()
    more |= {"train_gpus", "rollout_gpus"} if names & set(SIDES[:3]) else set()
    more |= {"recompute"} if "tokens" in names else set()
    more |= {"engine_way"} if "gpus_per_engine" in names else set()
    more |= {"share"} if names & {"mode", "gpus_per_engine", SCHEDULE} else set()
    return frozenset(names | (more & free))


def is_table_left_out(origins: Provenance) -> bool:
    """Whether nobody wrote anything of [parallel], but that dp or sp follow."""
    asked = {path for path in origins.asked if path.startswith("parallel.")}
    return asked <= {f"parallel.{name}" for name in _FOLLOWS} and all(
        is_left_out(origins, f"parallel.{axis}") for axis in _OF_PARALLEL
    )


def undecided(origins: Provenance) -> frozenset[str]:
    """Return the names of CHOOSABLE, and SCHEDULE, that nobody decided, and from which nothing else was derived."""
    names = {axis for axis in AXES if is_left_out(origins, f"parallel.{axis}")}
    names |= {side for side in SIDES if is_left_out(origins, f"placement.{side}")}
    used = {
        field for path, origin in origins.items() if not _follows(path, origin) for field in origin.inputs
    } | origins.read
    names -= {axis for axis in AXES if f"parallel.{axis}" in used}
    names -= {side for side in SIDES if f"placement.{side}" in used}
    names |= {SCHEDULE} if not any(path.endswith(f".{_FIELDS[SCHEDULE]}") for path in used) else set()
    return frozenset((*names, *OF_STAGES))


def readers_of(origins: Provenance, path: str) -> Iterator[str]:
    """Yield what was computed from a setting before it could be chosen."""
    for other, origin in origins.items():
        if path in origin.inputs and not _follows(other, origin):
            yield other


def paths_of(name: str, num_stages: int) -> Iterator[str]:
    """Yield the settings that a name of CHOOSABLE stands for."""
    if name in AXES:
        yield f"parallel.{name}"
    elif name in SIDES:
        yield f"placement.{name}"
    elif name == "share":
        for engine, key in SHARES.items():
            for index in range(num_stages):
                yield f"stages.{index}.rollout.engine.{engine}.{key}"
    else:
        field = _FIELDS[name]
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
