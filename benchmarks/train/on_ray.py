"""A GRPO step whose trainer and engine are actors of Ray against the same step in one process: what borders cost.

Both take the same steps of the same plan, in turn, and their metrics are equal.  A step of the actors waits for three
calls of the trainer, one of them the weights that it sends, and for the engine over HTTP.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from benchmarks.train.plan import SPEC, compiled_step
from benchmarks.train.step_rlc import make_job
from runtime.executors.open_executor import open_executor
from runtime.stage_data import StageData
from runtime.stage_job import StageJob
from runtime.torch_process import set_up_torch
from runtime.weights.initial import initial_weights

RAY, INLINE = "ray", "inline"
MOST_ROUNDS = 15


def measure(options: Options) -> Report:
    """Measure both executors in turn."""
    shared = (f"cluster.cpu_threads={options.threads}",)
    plans = {name: compiled_step((*shared, f'run.executor="{name}"')) for name in (RAY, INLINE)}
    set_up_torch(cpu_threads=options.threads)
    experiment, root = plans[RAY].experiment, SPEC.parent
    weights = initial_weights(experiment.model, root=root, seed=experiment.run.seed)
    with tempfile.TemporaryDirectory() as folder:
        executor = open_executor(experiment, root=root, run_dir=Path(folder), tell=print)
        try:
            actors = {RAY: executor.begin(0, weights), INLINE: None}
            contestants = []
            for name, plan in plans.items():
                run_dir = Path(folder, name)
                run_dir.mkdir()
                job, data = make_job(plan, run_dir, actors[name])
                contestants.append(Contestant(name=name, run=lambda job=job, data=data: _step(job, data)))
            rounds = take_rounds(contestants, replace(options.effort, rounds=min(MOST_ROUNDS, options.effort.rounds)))
        finally:
            executor.close()
    figures = [Figure(name=f"step of {RAY} / {INLINE}", value=rounds.ratio(RAY, INLINE, of="wall_s"), unit="x")]
    return Report(
        benchmark="ray",
        cases=[make_case("a GRPO step, one trainer and one engine", rounds, figures)],
        settings={"threads": options.threads, "torch": torch.__version__},
        plan_hash=plans[RAY].hash,
    )


def _step(job: StageJob, data: StageData) -> Measurement:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    asyncio.run(_taken(job, data))
    return {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu_begun}


async def _taken(job: StageJob, data: StageData) -> None:
    await data.take_step(job)
    job.progress.step += 1
    job.progress.global_step += 1
