"""A plan as a page for people: what will happen, who sits where, the arithmetic, and what it takes.

A pure function of a Plan and of the origins that compiling left behind.  Every field of a plan is on the page, or is
waived with a reason by the test; values carry a mark unless the spec itself says them.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.diagnostics.annotations import Never
from compiler.emit._machine_picture import machine_picture
from compiler.emit._plan_engines import nodes_per_domain, write_engines
from compiler.emit._plan_memory import write_phases
from compiler.emit._plan_model import write_model
from compiler.emit._plan_stage import write_stage
from compiler.emit._plan_text import (
    WIDTH,
    Sheet,
    Values,
    byte_size,
    said,
    sentence,
    wrapped,
)
from compiler.emit._plan_time import write_times
from compiler.ir.algorithm import TaughtParams
from compiler.ir.allowance import Allowance
from compiler.ir.catalogue import Gpu
from compiler.ir.machine import GpuPlacement, Parallel, RoleLaunch
from compiler.ir.plan import Plan
from compiler.ir.subject import Subject
from compiler.ir.timeouts import Timeouts
from compiler.planner.chosen import is_chosen
from compiler.planner.parameters import Parameters, parameters_of

HASH_DIGITS = 12
_WIDEST_CELL = 28


def plan_page(
    plan: Plan, subject: Subject | None, hardware: Mapping[str, Gpu], *, source: str, ascii_only: bool, color: bool
) -> str:
    """Return the page.

    Args:
        subject: the origins of the values; None for a saved plan, which has none.
        hardware: the GPUs that are known; without that of the plan, no phase of its memory is drawn.
        source: the file that the plan comes from, as the user named it.
        ascii_only: draw with ASCII characters only.
        color: whether to write ANSI colours.
    """
    sheet = Sheet(ascii_only=ascii_only, color=color)
    values = Values(plan.experiment, subject)
    sheet.title(values("name"), f"plan {plan.hash[:HASH_DIGITS]}, language version {values('rlc')}")
    sheet.lines += wrapped(said(source), WIDTH)
    sheet.section("Model")
    write_model(sheet, values.below("model"), Parameters(plan.forecast.parameters, plan.forecast.active_parameters))
    sheet.section("Machine")
    _machine(sheet, values, plan, hardware.get(str(plan.experiment.cluster.gpu)))
    stages = plan.experiment.stages
    for index, stage in enumerate(stages):
        of = f"Stage {index + 1} of {len(stages)}" if len(stages) > 1 else "Stage"
        sheet.section(f"{of}: {said(stage.name)}{values.mark(f'stages.{index}.name')}")
        write_stage(sheet, values.below(f"stages.{index}"))
        if isinstance(stage.algorithm, TaughtParams):
            sheet.section(f"Teacher of {said(stage.name)}")
            teacher = values.below(f"stages.{index}.teacher")
            write_model(sheet, teacher, parameters_of(stage.algorithm.teacher))
    sheet.section("Memory, forecast")
    gpu = hardware.get(str(plan.experiment.cluster.gpu))
    _memory(sheet, plan, gpu, is_chosen=subject is not None and is_chosen(subject.origins))
    write_times(sheet, plan)
    sheet.legend()
    return sheet.text()


def _machine(sheet: Sheet, values: Values, plan: Plan, gpu: Gpu | None) -> None:
    cluster = values.below("cluster")
    has_gpus = isinstance(plan.experiment.placement, GpuPlacement)
    each = f"{cluster.count('cpu_threads', 'threads')} a process"
    price = f", {cluster('usd_per_gpu_hour')} USD for an hour of a GPU" if cluster.is_on("usd_per_gpu_hour") else ""
    if has_gpus:
        each = f"{cluster('gpus_per_node')} each: {cluster.count('num_gpus', 'GPUs')} {cluster('gpu')}"
    sheet.row(
        "cluster",
        f"target {cluster('target')}, {cluster.count('nodes', 'nodes')}, {each}{price}, "
        f"executor {values('run.executor')}",
    )
    if values.raw("run.executor") == "ray":
        sheet.row("faults", _faults(values.below("run")))
    sheet.row("placement", _sides(values.below("placement")) if has_gpus else values("placement.mode"))
    if has_gpus:
        write_engines(sheet, values.below("placement"), plan, gpu)
    if isinstance(plan.experiment.parallel, Parallel):
        sheet.row("parallel", _axes(values.below("parallel"), plan.experiment.parallel))
    sheet.drawing(["", *machine_picture(plan, nodes_per_domain(plan, gpu)), ""])
    if isinstance(plan.experiment.timeouts, Timeouts):
        sheet.row("timeouts", _limits(values.below("timeouts")))
    environment = plan.experiment.cluster.environment
    variables = (said(f"{variable.name}={variable.value}") for variable in environment)
    sheet.row("environment", "  ".join(variables) + cluster.mark("environment"))
    placement = plan.experiment.placement
    if isinstance(placement, GpuPlacement) and placement.launches:
        sheet.row("engines", *(_launch(launch) for launch in placement.launches), "rlc plan --engines has all of it")
    sheet.row("seed", values("run.seed", str(values.raw("run.seed"))))
    events = values("log.tensorboard", "TensorBoard events" if values.raw("log.tensorboard") else "no TensorBoard")
    sheet.row("log", f"{events}, {values.count('log.transcripts_per_step', 'transcripts')} of each step")
    for allowed in plan.experiment.allow:
        sheet.row(
            "allowed", said(f"{allowed.rule}: {allowed.why}") if isinstance(allowed, Allowance) else said(repr(allowed))
        )


def _faults(run: Values) -> str:
    restarts = (
        f"{run.count('engine_restarts', 'restarts')} of engines, {run.count('trainer_restarts', 'restarts')} of all"
    )
    looks = f"every {run('health_interval_s')} s, silent for {run('health_timeout_s')} s is hung"
    return f"at most {restarts}; looked at {looks}"


def _limits(timeouts: Values) -> str:
    waits = ("placement", "weight_load", "generation", "train_step", "weight_sync", "checkpoint")
    parts = [f"{wait.replace('_', ' ')} {timeouts(f'{wait}_s')} s" for wait in waits]
    return f"{', '.join(parts)}: {timeouts('factor')} times what is predicted, {timeouts('least_s')} s at least"


def _launch(launch: RoleLaunch) -> str:
    """How a role is started, in short."""
    what = f"{len(launch.words)} words" if launch.words else f"{len(launch.records)} records"
    version = f" {said(launch.version)}" if isinstance(launch.version, str) else ""
    return f"{launch.role} of {said(', '.join(launch.stages))}: {said(launch.engine)}{version}, {what}"


def _sides(placement: Values) -> str:
    return sentence(
        placement("mode"),
        f"{placement.count('train_gpus', 'GPUs')} train",
        f"{placement.count('rollout_gpus', 'GPUs')} generate, {placement('gpus_per_engine')} for each engine",
    )


def _axes(parallel: Values, axes: Parallel[Never]) -> str:
    """The axes in the order of the mesh; those of size 1 that nobody wrote are left out."""
    names = [name for name in ("dp", "tp", "pp", "vpp", "cp", "ep", "etp") if name == "dp" or getattr(axes, name) > 1]
    parts = [f"{name} {parallel(name)}" for name in names]
    parts += [f"sequence parallel {parallel('sp')}"] if axes.sp else []
    for end in ("first", "last"):
        if parallel.is_on(f"pp_{end}_layers"):
            parts.append(f"{parallel(f'pp_{end}_layers')} layers on the {end} pipeline stage")
    return sentence(*parts)


def _memory(sheet: Sheet, plan: Plan, gpu: Gpu | None, *, is_chosen: bool) -> None:
    forecast = plan.forecast
    caches = [stage.kv_cache_bytes for stage in forecast.stages]
    parts = (
        ("weights", forecast.weight_bytes),
        ("gradients", forecast.gradient_bytes),
        ("optimizer state", forecast.optimizer_bytes),
        ("reference model", forecast.reference_bytes),
        ("critic", forecast.critic_bytes),
        ("teacher", forecast.teacher_bytes),
        ("rollout engine's weights", forecast.engine_weight_bytes),
    )
    has_gpus = isinstance(plan.experiment.placement, GpuPlacement)
    sheet.row(
        "a GPU" if has_gpus else "model", sentence(*(f"{name} {byte_size(size)}" for name, size in parts if size))
    )
    keys = [f"{said(stage.stage)} {byte_size(stage.kv_cache_bytes)}" for stage in forecast.stages]
    sheet.row("KV cache", sentence(*keys, "with every sequence at its longest" if has_gpus and any(caches) else ""))
    if gpu is not None:
        write_phases(sheet, plan, gpu, is_chosen=is_chosen)
        return
    uncounted = "activations and the memory of kernels are not counted"
    if has_gpus:
        train = sum(size for _, size in parts[:-1])
        generate = forecast.engine_weight_bytes + max(caches, default=0)
        sheet.row("together", f"{byte_size(train)} to train, {byte_size(generate)} at most to generate; {uncounted}")
        return
    total = sum(size for _, size in parts) + max(caches, default=0)
    sheet.row("together", f"{byte_size(total)} at most; {uncounted}")
