"""Counts the GPUs of a cluster and divides them: between the two sides, and among the axes of parallelism.

What the spec leaves out is assumed to be 1, but for data parallelism, which takes what is left over.  What does not
come out even stays open, and the rules say so.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.provenance import Origin, Provenance

_BY = "lay_out_gpus"
_AXES = ("tp", "pp", "cp", "ep", "etp")


def lay_out_gpus(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Fill cluster.gpu, cluster.num_gpus, placement.*_gpus and [parallel]."""
    cluster = experiment.cluster
    named = gpus_per_node(cluster.gpus_per_node)
    total = 0 if named is None else named.count * cluster.nodes
    origins.derived("cluster.gpu", by=_BY, inputs=("cluster.target", "cluster.gpus_per_node"))
    origins.derived("cluster.num_gpus", by=_BY, inputs=("cluster.nodes", "cluster.gpus_per_node"))
    cluster = cluster.replacing(gpu=OFF if named is None else named.name, num_gpus=total)
    experiment = experiment.replacing(cluster=cluster)
    placement, parallel = experiment.placement, experiment.parallel
    if isinstance(placement, GpuPlacement) and total:
        placement = _divided(placement, total, origins)
        experiment = experiment.replacing(placement=placement)
        if isinstance(parallel, Parallel):
            experiment = experiment.replacing(parallel=_spread(parallel, placement.train_gpus, origins))
    return experiment


def _divided(placement: GpuPlacement[Auto], total: int, origins: Provenance) -> GpuPlacement[Auto]:
    """Shared: each side has all of them.  Split: what one side is given, the other is not."""
    sides = {"train_gpus": placement.train_gpus, "rollout_gpus": placement.rollout_gpus}
    for side, other in (("train_gpus", "rollout_gpus"), ("rollout_gpus", "train_gpus")):
        taken = sides[other]
        if sides[side] is not AUTO:
            continue
        if placement.mode == "colocate":
            sides[side] = total
            origins.derived(f"placement.{side}", by=_BY, inputs=("cluster.num_gpus", "placement.mode"))
        elif isinstance(taken, int) and 0 < taken < total:
            sides[side] = total - taken
            inputs = ("cluster.num_gpus", "placement.mode", f"placement.{other}")
            origins.derived(f"placement.{side}", by=_BY, inputs=inputs)
    return placement.replacing(**sides)


def _spread(parallel: Parallel[Auto], gpus: object, origins: Provenance) -> Parallel[Auto]:
    """Data parallelism takes what is left over; one other axis may be left to follow from it."""
    axes: dict[str, object] = {name: getattr(parallel, name) for name in _AXES}
    if isinstance(gpus, int) and isinstance(parallel.dp, int):
        opened = [name for name in ("tp", "pp", "cp") if axes[name] is AUTO]
        known = parallel.dp * _product(axes, ("tp", "pp", "cp"))
        if len(opened) == 1 and gpus % known == 0:
            axes[opened[0]] = gpus // known
            others = tuple(f"parallel.{n}" for n in ("dp", "tp", "pp", "cp") if n != opened[0])
            origins.derived(f"parallel.{opened[0]}", by=_BY, inputs=("placement.train_gpus", *others))
    for name in _AXES:
        if axes[name] is AUTO:
            axes[name] = 1
            origins.record(f"parallel.{name}", Origin("assumed", by=_BY))
    axes["sp"], axes["dp"] = parallel.sp, parallel.dp
    if parallel.sp is AUTO:
        tp = axes["tp"]
        axes["sp"] = isinstance(tp, int) and tp > 1
        origins.derived("parallel.sp", by=_BY, inputs=("parallel.tp",))
    model = _product(axes, ("tp", "pp", "cp"))
    if parallel.dp is AUTO and isinstance(gpus, int) and gpus % model == 0:
        axes["dp"] = gpus // model
        inputs = ("placement.train_gpus", "parallel.tp", "parallel.pp", "parallel.cp")
        origins.derived("parallel.dp", by=_BY, inputs=inputs)
    return parallel.replacing(**axes)


def _product(axes: dict[str, object], names: tuple[str, ...]) -> int:
    found = 1
    for name in names:
        size = axes[name]
        found *= size if isinstance(size, int) else 1
    return found
