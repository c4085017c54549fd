"""Counts the GPUs of a cluster and divides them: between the two sides, and among the axes of parallelism.

The GPU identity, tp x pp x cp x dp = training GPUs, is solved for its one unknown; where it has more, cp, pp and then
tp are assumed to be 1, so that data parallelism takes what is left over.  The axes of experts are assumed to be 1 too.
What says "auto" beside them is as if it were left out.  What does not come out even stays open or 1, and the rules say
so.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.equations import GPU_IDENTITY
from compiler.ir.experiment import Experiment
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import AUTO, OFF, Auto, Off
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import Origin, Provenance

_BY = "lay_out_gpus"


def lay_out_gpus(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Fill cluster.gpu, cluster.num_gpus, placement.*_gpus and [parallel]."""
    cluster = experiment.cluster
    named = gpus_per_node(cluster.gpus_per_node)
    total = 0 if named is None else named.count * cluster.nodes
    origins.derived("cluster.gpu", by=_BY, inputs=("cluster.target", "cluster.gpus_per_node"))
    origins.derived("cluster.num_gpus", by=_BY, inputs=("cluster.nodes", "cluster.gpus_per_node"))
    cluster = cluster.replacing(gpu=OFF if named is None else named.name, num_gpus=total)
    experiment = _assumed(experiment.replacing(cluster=cluster), origins)
    placement, parallel = experiment.placement, experiment.parallel
    total -= placement.judge_gpus() if isinstance(placement, GpuPlacement) else 0
    if isinstance(placement, GpuPlacement) and total > 0:
        placement = _divided(placement, total, origins)
        experiment = experiment.replacing(placement=placement)
        if isinstance(parallel, Parallel):
            experiment = _solved(experiment, origins)
            experiment = _with_other_side(experiment, total, origins)
            parallel = experiment.parallel
            assert isinstance(parallel, Parallel), "the identity changes sizes only"
            experiment = experiment.replacing(parallel=_with_experts(experiment, parallel, origins))
    return experiment


def _assumed(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    """What says "auto" and no identity is about, until it is chosen: what it would be if it were left out."""
    behind = any(stage.schedule.lag for stage in experiment.stages)
    values: dict[str, object] = {"placement.mode": "split" if behind else "colocate"}
    if isinstance(experiment.placement, GpuPlacement):
        values = {**values, "placement.gpus_per_engine": 1}
    if isinstance(experiment.parallel, Parallel):
        values = {**values, "parallel.vpp": 1}
    for path, value in values.items():
        if read(experiment, path) is AUTO:
            origins.record(path, Origin("assumed", by=_BY))
            experiment = replaced(experiment, path, value)
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
            origins.derived(
                f"placement.{side}", by=_BY, inputs=("cluster.num_gpus", "placement.mode", *_judged(placement))
            )
        elif isinstance(taken, int) and 0 < taken < total:
            sides[side] = total - taken
            inputs = ("cluster.num_gpus", "placement.mode", f"placement.{other}", *_judged(placement))
            origins.derived(f"placement.{side}", by=_BY, inputs=inputs)
    return placement.replacing(**sides)


def _judged(placement: GpuPlacement[Auto]) -> tuple[str, ...]:
    """What says how many GPUs a judge has, where there is one."""
    return ("placement.judge.gpus",) if placement.judge_gpus() else ()


def _with_other_side(experiment: Experiment[Auto], total: int, origins: Provenance) -> Experiment[Auto]:
    """Where the axes said how many GPUs train, the others are left to the rollout."""
    placement = experiment.placement
    if not isinstance(placement, GpuPlacement) or placement.rollout_gpus is not AUTO:
        return experiment
    return experiment.replacing(placement=_divided(placement, total, origins))


def _solved(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    """Solve the GPU identity; what cannot be a whole number is assumed too, but for dp and the GPUs themselves."""
    for field in (*GPU_IDENTITY.assume, None):
        values = GPU_IDENTITY.factors(experiment)
        unknowns = GPU_IDENTITY.unknowns(values)
        solution = GPU_IDENTITY.solve(unknowns[0], values).whole if len(unknowns) == 1 else None
        if solution is not None:
            inputs = tuple(f for f in GPU_IDENTITY.fields if f != unknowns[0])
            origins.derived(unknowns[0], by=GPU_IDENTITY.name, inputs=inputs)
            return replaced(experiment, unknowns[0], solution)
        if field is not None and field in unknowns:
            origins.record(field, Origin("assumed", by=GPU_IDENTITY.name))
            experiment = replaced(experiment, field, 1)
    return experiment


def _with_experts(experiment: Experiment[Auto], parallel: Parallel[Auto], origins: Provenance) -> Parallel[Auto]:
    """The axes that the identity is not about: experts, and sequences, which follow tensor parallelism.

    FSDP2's trainer cuts experts as it cuts every other layer.
    """
    found: dict[str, object] = {}
    is_alike = all(stage.train.engine.name == "fsdp2" for stage in experiment.stages)
    if is_alike and not isinstance(experiment.model.moe, Off) and parallel.etp is AUTO and isinstance(parallel.tp, int):
        found["etp"] = parallel.tp
        origins.derived("parallel.etp", by=_BY, inputs=("parallel.tp",))
    for name in ("ep", "etp"):
        if getattr(parallel, name) is AUTO and name not in found:
            found[name] = 1
            origins.record(f"parallel.{name}", Origin("assumed", by=_BY))
    if parallel.sp is AUTO:
        found["sp"] = isinstance(parallel.tp, int) and parallel.tp > 1
        origins.derived("parallel.sp", by=_BY, inputs=("parallel.tp",))
    return parallel.replacing(**found)
