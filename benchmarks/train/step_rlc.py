"""Steps of rlc, each when asked: the schedule, engine, reward and trainer of a compiled plan, as `rlc run` drives them.

One thing differs from a run: no token ends a response, so that all have full length.  A step lasts from when it is
asked for until its row of metrics is written; what a run does around it, weights to the engine, transcripts and
TensorBoard, is inside.

python -m benchmarks.train.step_rlc --threads 2        # then a line on standard input for each step
python -m benchmarks.train.step_rlc --profile          # a table of operations of a step
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from torch.profiler import profile

from benchmarks.train.plan import SPEC, compiled_step
from benchmarks.train.turns import Turns
from compiler.ir.plan import Plan
from runtime.algorithm_functions import load_algorithm_functions
from runtime.checkpoint.store import CheckpointStore
from runtime.checkpoint.writer import CheckpointWriter
from runtime.data.tokenizers import load_tokenizer
from runtime.executors.inline import Actors, build_actors
from runtime.progress import Progress
from runtime.rollouts import RolloutWorker
from runtime.stage_data import StageData, load_stage_data
from runtime.stage_job import StageJob, StopRequest
from runtime.stage_warnings import StageWarnings
from runtime.telemetry.open_view import Look, open_view
from runtime.telemetry.sinks import open_sinks
from runtime.telemetry.view import StageInfo
from runtime.torch_process import set_up_torch
from runtime.weights.initial import initial_weights

WARMUP_STEPS = 4


def main() -> None:
    """Take steps, or profile one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="print a table of operations instead")
    options = parser.parse_args()
    plan = compiled_step((f"cluster.cpu_threads={options.threads}",))
    set_up_torch(cpu_threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        job, data = make_job(plan, Path(folder))
        if options.profile:
            asyncio.run(_profile(job, data))
        else:
            versions = {name: version(name) for name in ("torch", "transformers")}
            asyncio.run(_take_turns(job, data, Turns({**versions, "plan": plan.hash})))


def make_job(plan: Plan, run_dir: Path, actors: Actors | None = None) -> tuple[StageJob, StageData]:
    """Return the one stage of the plan, ready to run, whose responses nothing ends early.

    Args:
        actors: those of the stage, where they are not to be in this process.
    """
    experiment, root = plan.experiment, SPEC.parent
    stage = experiment.stages[0]
    tokenizer = load_tokenizer(experiment.model, root=root)
    data = load_stage_data(stage, experiment.model, tokenizer, root=root)
    weights = initial_weights(experiment.model, root=root, seed=experiment.run.seed)
    actors = actors or build_actors(experiment, stage, weights, root=root)
    assert actors.engine is not None
    assert actors.reward is not None
    view = open_view(io.StringIO(), clock=time.monotonic, look=Look())
    job = StageJob(
        experiment=experiment,
        stage=stage,
        actors=actors,
        functions=load_algorithm_functions(stage, root=root, warn=view.warning),
        tokenizer=tokenizer,
        worker=RolloutWorker(actors.engine, tokenizer, actors.reward, stop_token_ids=frozenset()),
        measures=(),
        progress=Progress(plan_hash=plan.hash),
        writer=CheckpointWriter(CheckpointStore(run_dir / "checkpoints")),
        sinks=open_sinks(experiment.log, run_dir, stages=[stage.name], resume_at=0),
        view=view,
        stop=StopRequest(),
        warnings=StageWarnings(stage, view),
    )
    job.view.stage_started(
        StageInfo(
            experiment=experiment.name,
            number=1,
            num_stages=1,
            name=stage.name,
            algorithm=stage.algorithm.algo.name,
            max_steps=stage.run.max_steps,
            until="",
            past=(),
        )
    )
    return job, data


async def _take_turns(job: StageJob, data: StageData, turns: Turns) -> None:
    last: dict[str, float] = {}
    begun = cpu_begun = 0.0

    # The job calls this once a step, after it has written the row of the step before.
    async def step_when_asked(job: StageJob) -> Mapping[str, float]:
        nonlocal begun, cpu_begun
        if last:
            turns.reply({"step_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu_begun, **last})
        turns.wait()
        begun, cpu_begun = time.perf_counter(), time.process_time()
        metrics = await data.take_step(job)
        rollout_s = metrics["time/sync_s"] + metrics["time/rollout_s"]
        last.update(rollout_s=rollout_s, train_s=metrics["time/train_s"], tokens=metrics["rollout/tokens"])
        return metrics

    await job.run(step_when_asked)


async def _profile(job: StageJob, data: StageData) -> None:
    for _ in range(WARMUP_STEPS):
        await data.take_step(job)
    with profile() as recorded:
        await data.take_step(job)
    sys.stdout.write(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=40) + "\n")


if __name__ == "__main__":
    main()
