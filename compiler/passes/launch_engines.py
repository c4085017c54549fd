"""Lowers a plan to its engines: the words, variables and records that every process of theirs is started with.

Only targets with GPUs have engines that are started; what they are started with is the target's own data.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance

_BY = "launch_engines"
_OF_THE_TARGET = ("shm_gib", "ipc")


def launch_engines(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Fill placement.launches."""
    target, placement = catalogue.load_target(experiment.cluster.target), experiment.placement
    if target.launches is None or not isinstance(placement, GpuPlacement):
        return experiment
    launches = []
    origins.derived("placement.launches", by=_BY, inputs=("cluster.target", "placement.roles"))
    for at, (launch, inputs) in enumerate(target.launches(experiment)):
        path = f"placement.launches.{at}"
        for field in type(launch).fields():
            by = ("cluster.target",) if field in _OF_THE_TARGET else inputs["words" if field == "words" else "engine"]
            origins.derived(f"{path}.{field}", by=_BY, inputs=by)
        for i, variable in enumerate(launch.environment):
            by = inputs[f"environment.{variable.name}"] or ("cluster.target",)
            for part in ("name", "value"):
                origins.derived(f"{path}.environment.{i}.{part}", by=_BY, inputs=by)
        for i, record in enumerate(launch.records):
            for part in ("name", "nothing"):
                origins.derived(f"{path}.records.{i}.{part}", by=_BY, inputs=inputs["engine"])
            for name in record.values.__dict__:
                by = inputs[f"records.{i}.values.{name}"] or inputs["engine"]
                origins.derived(f"{path}.records.{i}.values.{name}", by=_BY, inputs=by)
        launches.append(launch)
    return experiment.replacing(placement=placement.replacing(launches=tuple(launches)))
