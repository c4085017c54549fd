"""512 episodes with slow tools against the same episodes with tools that answer at once: is the engine kept busy?

An answer takes 50 to 200 ms, and nothing of this machine.  The engine generates for fewer sequences at once than there
are episodes, so that there is always work while tools are waited for.  A turn ends at one of a few tokens, after
six on average; both ways use the same engine, prompts and draws, and only sampled tokens count.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Never, cast

import torch

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from benchmarks.train.plan import SPEC, compiled_step
from benchmarks.train.step_rlc import make_job
from compiler.ir.experiment import Stage
from compiler.ir.rollout import Rollout, Sampling
from runtime.environments.episodes import Episodes
from runtime.environments.opened import open_environment
from runtime.protocols import DrawKey
from runtime.rollouts import RolloutWorker
from runtime.stage_job import StageJob
from runtime.torch_process import set_up_torch
from stdlib.samples import Group, Prompt

SLOW, AT_ONCE = "slow tools", "tools that answer at once"
NUM_PROMPTS, NUM_SAMPLES, CONCURRENCY = 64, 8, 64
TURNS, LONGEST_TURN = 3, 64
LEAST_RATE = 0.9
# Seven tokens of about fifty end a turn, beside the end of sequence.
STOP_TOKENS = frozenset((2, 8, 14, 20, 26, 32, 38, 44))
# A round of both ways takes some seconds.
MOST_ROUNDS = 7
SETTINGS = (
    f"rollout.concurrency={CONCURRENCY}",
    f"rollout.max_response_tokens={LONGEST_TURN}",
    f"environment.max_turns={TURNS}",
    "environment.max_observation_tokens=16",
)
FUNCTIONS = {SLOW: "slow", AT_ONCE: "at_once"}


def measure(options: Options) -> Report:
    """Measure both ways in turn."""
    shared = (f"cluster.cpu_threads={options.threads}", *SETTINGS)
    plans = {
        way: compiled_step((*shared, f'environment.name="waiting_tools.py:{function}"'))
        for way, function in FUNCTIONS.items()
    }
    set_up_torch(cpu_threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        job, data = make_job(plans[SLOW], Path(folder))
        job.sync()
        prompts = data.rewarded[:NUM_PROMPTS]
        contestants = []
        for way, plan in plans.items():
            worker = _worker(job, cast(Stage[Never], plan.experiment.stages[0]))
            contestants.append(Contestant(name=way, run=lambda worker=worker: _timed(worker, prompts)))
        rounds = take_rounds(contestants, replace(options.effort, rounds=min(MOST_ROUNDS, options.effort.rounds)))
    kept = rounds.ratio(SLOW, AT_ONCE, of="tokens_per_second")
    figures = [Figure(name=f"tokens/s of {SLOW} / {AT_ONCE}", value=kept, unit="x", bound=LEAST_RATE)]
    case = make_case(f"{NUM_PROMPTS * NUM_SAMPLES} episodes, 50 to 200 ms an answer", rounds, figures)
    settings = {"threads": options.threads, "sequences at once": CONCURRENCY, "turns": TURNS}
    return Report(
        benchmark="episodes",
        cases=[case],
        settings={**settings, "torch": torch.__version__},
        plan_hash=plans[SLOW].hash,
    )


def _worker(job: StageJob, stage: Stage[Never]) -> RolloutWorker:
    """What samples episodes of a stage, all on the engine of the job."""
    rollout, engine = stage.rollout, job.actors.engine
    environment = open_environment(stage, root=SPEC.parent)
    assert isinstance(rollout, Rollout)
    assert environment is not None
    assert engine is not None
    context = rollout.max_context_tokens
    episodes = Episodes(environment, engine, job.tokenizer, max_context_tokens=context, is_evaluation=False)
    return RolloutWorker(engine, job.tokenizer, None, stop_token_ids=STOP_TOKENS, episodes=episodes)


def _timed(worker: RolloutWorker, prompts: Sequence[Prompt]) -> Measurement:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    groups = asyncio.run(_sampled(worker, prompts))
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    samples = [sample for group in groups for sample in group.samples]
    assert worker.episodes is not None
    told = worker.episodes.take_metrics()
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "tokens_per_second": sum(len(s.tokens) for one in samples for s in one.segments if s.is_sampled) / wall_s,
        "turns": told["rollout/turns_mean"],
    }


async def _sampled(worker: RolloutWorker, prompts: Sequence[Prompt]) -> list[Group]:
    return await worker.groups(
        prompts,
        first_key=DrawKey(seed=0, stage=0, step=0, group=0),
        num_samples=NUM_SAMPLES,
        max_new_tokens=LONGEST_TURN,
        sampling=Sampling(),
    )
