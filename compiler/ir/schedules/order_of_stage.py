"""The order of a stage's actions, as its settings say."""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement
from compiler.ir.rollout import Rollout
from compiler.ir.schedules.loop import Order


def order_of(stage: Stage[Any], *, num_engines: int = 1) -> Order | None:
    """Return the order of a stage, or None if it samples nothing, or a number is open.

    Groups flow where the loop is asynchronous: as many at once as the engines have places for, and at least one.
    """
    rollout, steps = stage.rollout, stage.run.max_steps
    if not isinstance(rollout, Rollout):
        return None
    prompts, group, places = rollout.prompts_per_step, rollout.samples_per_prompt, rollout.concurrency
    if not (isinstance(steps, int) and isinstance(prompts, int) and isinstance(group, int)):
        return None
    return Order(
        max_steps=steps,
        batch=prompts,
        lag=stage.schedule.lag,
        flows=stage.schedule.mode == "async",
        most_under_way=max(1, num_engines * places // group) if isinstance(places, int) else prompts,
    )


def num_engines(experiment: Experiment[Any]) -> int:
    """Return how many rollout engines a plan has: as many as fit on the GPUs that generate, and one where there are
    none.
    """
    placement = experiment.placement
    if not isinstance(placement, GpuPlacement):
        return 1
    gpus, each = placement.rollout_gpus, placement.gpus_per_engine
    return max(1, gpus // each) if isinstance(gpus, int) and isinstance(each, int) else 1
