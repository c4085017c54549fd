"""From a plan to a simulation of one of its stages."""

from __future__ import annotations

from compiler.diagnostics.annotations import Never
from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.json_text import Json
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.schedules.order_of_stage import order_of
from compiler.ir.timeouts import Timeouts
from compiler.planner.simulate.outcome import Outcome
from compiler.planner.simulate.pace import Troubles
from compiler.planner.simulate.plan_pace import Beside, expected, limits_of, pace_of
from compiler.planner.simulate.run import simulate
from rlc.catalogue import load_hardware


class Simulated(NamedTuple):
    """What was found of a stage, and what the plan did not say."""

    outcome: Outcome
    assumed: dict[str, Json]


class Line(NamedTuple):
    """What a command line says of a simulation: a stage or the first that samples, its steps or all, the seed."""

    stage: str | None
    steps: int | None
    seed: int


def simulate_stage(experiment: Experiment[Never], line: Line, troubles: Troubles, beside: Beside) -> Simulated:
    """Simulate a stage of a plan.  Raises: SpecError RLC0417 if it has none that can be."""
    stage = _stage(experiment, line.stage)
    gpu = load_hardware().get(str(experiment.cluster.gpu))
    if gpu is None:
        raise SpecError(Diagnostic("RLC0417", f"nobody knows how fast a GPU {experiment.cluster.gpu} is"))
    debug = stage.debug
    if not isinstance(debug, Off) and debug.mode != "full":
        way = Help('set debug.mode = "full"', (("debug.mode", '"full"'),))
        message = f'a step of stage {stage.name} is taken apart by debug.mode = "{debug.mode}": neither side waits'
        raise SpecError(Diagnostic("RLC0417", message, help=(way,)))
    beside = expected(stage, beside)
    pace = pace_of(experiment, stage, gpu, beside)
    if pace is None:
        raise InternalError(f"a stage that samples on GPUs has no predicted time: {stage.name}")
    order = order_of(stage, num_engines=pace.fleet.engines)
    if order is None:
        raise InternalError(f"a stage that samples has no order: {stage.name}")
    if line.steps is not None:
        order = order._replace(max_steps=line.steps)
    if not isinstance(experiment.timeouts, Timeouts):
        raise InternalError("a plan for GPUs has no time limits")
    found = simulate(order, pace, troubles._replace(limits=limits_of(experiment.timeouts)), seed=line.seed)
    assumed: dict[str, Json] = {"stage": stage.name, "schedule": stage.schedule.mode, "seed": line.seed}
    assumed |= {name: getattr(troubles, name) for name in troubles._fields if name != "limits"}
    assumed |= {name: getattr(beside, name) for name in beside._fields}
    return Simulated(found, assumed)


def _stage(experiment: Experiment[Never], name: str | None) -> Stage[Never]:
    if not isinstance(experiment.placement, GpuPlacement):
        way = Help("run it instead: what one process takes is known when it has been done")
        message = f"target {experiment.cluster.target} has no GPUs, and times are predicted of GPUs only"
        raise SpecError(Diagnostic("RLC0417", message, help=(way,)))
    able = {stage.name: stage for stage in experiment.stages if isinstance(stage.rollout, Rollout)}
    if not able:
        message = "no stage samples: how long a step on data takes, the lengths of its rows say"
        raise SpecError(Diagnostic("RLC0417", message))
    if name is None:
        return next(iter(able.values()))
    if name not in able:
        said = "does not sample" if any(stage.name == name for stage in experiment.stages) else "is not in the plan"
        close = nearest_names(name, able) or list(able)
        raise SpecError(Diagnostic("RLC0417", f"stage {name} {said}", help=(Help(f"name {' or '.join(close)}"),)))
    return able[name]
