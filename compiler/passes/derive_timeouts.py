"""Limits every wait of a job on GPUs: what is predicted, times timeouts.factor, and never less than timeouts.least_s.

Where nothing is predicted of a step, since only data says how long its rows are, the limit is an hour.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import AUTO, Auto
from compiler.ir.provenance import Provenance
from compiler.ir.timeouts import Timeouts

_BY = "derive_timeouts"
_LONGEST_S = 1e9  # numbers that no machine has are predicted to take longer than a float can say
_UNKNOWN_S = 3600.0
_STEP = ("placement.train_gpus", "placement.rollout_gpus")
_INPUTS = {
    "placement": ("cluster.nodes",),
    "weight_load": ("model.name",),
    "checkpoint": ("model.name", "placement.train_gpus"),
    "generation": _STEP,
    "train_step": _STEP,
    "weight_sync": _STEP,
}


def derive_timeouts(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Fill what is open of [timeouts]; of what nobody has laid out nothing is predicted, and rules say why."""
    timeouts = experiment.timeouts
    if not isinstance(timeouts, Timeouts):
        return experiment
    if all(timeouts.__dict__[f"{wait}_s"] is not AUTO for wait in _INPUTS):
        return experiment
    from compiler.planner.waits import Waits, predicted_waits

    found: list[Waits] = []
    if _is_laid_out(experiment):
        gpu = catalogue.load_hardware().get(str(experiment.cluster.gpu))
        found = [predicted_waits(experiment, stage, gpu) for stage in experiment.stages]
    filled: dict[str, float] = {}
    for wait, inputs in _INPUTS.items():
        if timeouts.__dict__[f"{wait}_s"] is not AUTO:
            continue
        seconds = [one for waits in found if (one := getattr(waits, wait)) is not None]
        is_known = bool(found) and len(seconds) == len(found)
        derived = timeouts.factor * max(seconds) if is_known else _UNKNOWN_S
        filled[f"{wait}_s"] = float(round(max(timeouts.least_s, min(derived, _LONGEST_S))))
        origins.derived(f"timeouts.{wait}_s", by=_BY, inputs=("timeouts.factor", "timeouts.least_s", *inputs))
    return experiment.replacing(timeouts=timeouts.replacing(**filled))


def _is_laid_out(experiment: Experiment[Auto]) -> bool:
    placement, parallel, cluster = experiment.placement, experiment.parallel, experiment.cluster
    if not isinstance(placement, GpuPlacement) or not isinstance(parallel, Parallel) or not cluster.num_gpus:
        return False
    sides = (placement.train_gpus, placement.rollout_gpus, cluster.num_gpus)
    return all(isinstance(size, int) and size > 0 for size in sides)
