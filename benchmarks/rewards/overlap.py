"""Judging beside generation against judging after it: 16 groups of 8, two of them under way at once.

Four calls of the judge, which take 50 ms each and nothing of this machine, may be under way at once.  Both ways use the
same engine, worker and reward runner; the second hands the runner its groups when all are there.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import torch

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from benchmarks.train.plan import compiled_step
from benchmarks.train.step_rlc import make_job
from compiler.ir.rollout import Rollout
from runtime.protocols import DrawKey, Reward
from runtime.rollouts import RolloutWorker
from runtime.stage_job import StageJob
from runtime.torch_process import set_up_torch
from stdlib.samples import Group, Prompt

BESIDE, AFTER, GENERATION = "judged beside generation", "judged after generation", "generation alone"
OVERRIDES = (
    'reward.name="waiting_judge.py:reward"',
    "reward.concurrency=4",
    "rollout.concurrency=16",
    "rollout.max_response_tokens=64",
)
LEAST_HIDDEN = 0.7

Sampled = Callable[[Reward], Awaitable[Sequence[Group]]]


class Unjudged:
    """Lets groups through as they are."""

    async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
        """Return the groups."""
        return [group async for group in groups]


def measure(options: Options) -> Report:
    """Measure both ways, and generation alone."""
    plan = compiled_step((f"cluster.cpu_threads={options.threads}", *OVERRIDES))
    set_up_torch(cpu_threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        job, data = make_job(plan, Path(folder))
        job.sync()
        contestants = [
            Contestant(name=BESIDE, run=lambda: _timed(_beside(job, data.rewarded))),
            Contestant(name=AFTER, run=lambda: _timed(_after(job, data.rewarded))),
            Contestant(name=GENERATION, run=lambda: _timed(_sampled(job, data.rewarded, Unjudged()))),
        ]
        rounds = take_rounds(contestants, options.effort)
    waits = [r.found for r in rounds.counted()]
    hidden = statistics.median(
        (found[AFTER]["wall_s"] - found[BESIDE]["wall_s"]) / (found[AFTER]["wall_s"] - found[GENERATION]["wall_s"])
        for found in waits
    )
    figures = [
        Figure(name="judging that generation hides", value=hidden, unit="of its time", bound=LEAST_HIDDEN),
        Figure(name="beside / generation alone", value=rounds.ratio(BESIDE, GENERATION, of="wall_s"), unit="x"),
    ]
    case = make_case("16 groups, 50 ms each, 4 at once", rounds, figures)
    settings = {"threads": options.threads, "torch": torch.__version__}
    return Report(benchmark="rewards", cases=[case], settings=settings, plan_hash=plan.hash)


async def _beside(job: StageJob, prompts: Sequence[Prompt]) -> Sequence[Group]:
    assert job.actors.reward is not None
    return await _sampled(job, prompts, job.actors.reward)


async def _after(job: StageJob, prompts: Sequence[Prompt]) -> Sequence[Group]:
    groups = await _sampled(job, prompts, Unjudged())

    async def finished() -> AsyncIterator[Group]:
        for group in groups:
            yield group

    assert job.actors.reward is not None
    return await job.actors.reward.score_all(finished())


async def _sampled(job: StageJob, prompts: Sequence[Prompt], reward: Reward) -> Sequence[Group]:
    rollout = job.stage.rollout
    assert isinstance(rollout, Rollout)
    assert job.actors.engine is not None
    worker = RolloutWorker(job.actors.engine, job.tokenizer, reward, stop_token_ids=frozenset())
    return await worker.groups(
        prompts[: rollout.prompts_per_step],
        first_key=DrawKey(seed=0, stage=0, step=0, group=0),
        num_samples=rollout.samples_per_prompt,
        max_new_tokens=rollout.max_response_tokens,
        sampling=rollout.sampling,
    )


def _timed(work: Awaitable[Sequence[Group]]) -> Measurement:
    async def run() -> int:
        return len(await work)

    begun = time.perf_counter()
    asyncio.run(run())
    return {"wall_s": time.perf_counter() - begun}
