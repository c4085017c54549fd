"""What of a plan the Ray executor starts, and what it does not: no part of a plan is left out without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off

_ENGINES = ("native",)
_TRAINERS = ("fsdp2",)


def check_executable(experiment: Experiment[Never]) -> None:
    """Look at a plan before anything is started.  Raises: SpecError RLC0758 with each part that would not be."""
    placement = experiment.placement
    if not isinstance(placement, GpuPlacement):
        return
    found = tuple(_not_started(experiment, placement))
    if found:
        raise SpecError(*found)


def _not_started(experiment: Experiment[Never], placement: GpuPlacement[Never]) -> Iterator[Diagnostic]:
    for part in ("router", "judge", "disaggregation"):
        if not isinstance(getattr(placement, part), Off):
            yield _refused(f"placement.{part}", "the run's driver shares out requests itself, and starts no such thing")
    for at, launch in enumerate(placement.launches):
        path = f"placement.launches.{at}.engine"
        if launch.role == "rollout" and launch.engine not in _ENGINES:
            yield _refused(
                path, f"rollout engine {launch.engine} is not started by Ray today: {', '.join(_ENGINES)} is"
            )
        elif launch.role == "trainer" and launch.engine not in _TRAINERS:
            yield _other_engine(path, launch.engine, "train.engine.name", _TRAINERS[0])
    groups = [group for group in placement.engine_groups() if group.role == "rollout"]
    if any(group.gpus > 1 for group in groups):
        yield _refused("placement.gpus_per_engine", "a server of rlc has one device")
    if groups and not groups[0].engines:
        yield _refused("placement.rollout_gpus", "no engine generates")


def _other_engine(path: str, engine: str, field: str, known: str) -> Diagnostic:
    way = Help(f'set {field} = "{known}"', sets=((field, f'"{known}"'),))
    return _refused(path, f"{engine} is not started today, {known} is", way)


def _refused(path: str, why: str, *ways: Help) -> Diagnostic:
    otherwise = Help("leave it out, or emit the job and start it by other means: rlc emit")
    fact = f"this plan cannot be executed on Ray: {path}: {why}"
    return Diagnostic("RLC0758", fact, help=(*ways, otherwise), paths=(path,))
