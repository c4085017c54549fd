"""What a driver does for each step with 512 engines, where engines and trainer answer at once.

The schedule, the rollout worker, the fleet, the reward, the algorithm and the rows of metrics are those of `rlc run`.
The engines are objects of this process: a response is some tokens that are there already, after one turn of the event
loop.  The trainer returns what it is given.  So what is timed is sharing requests out, awaiting, and keeping count; the
peer is the same step with one such engine and no fleet.  CPU time is that of the whole process, whatever others do to
the clock.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rounds import Contestant, Effort, Measurement, take_rounds
from benchmarks.train.plan import compiled_step
from benchmarks.train.step_rlc import make_job
from compiler.ir.plan import Plan
from runtime.engines.rollout.fleet import EngineFleet
from runtime.engines.rollout.fleet_dispatch import FleetRules
from runtime.executors.inline import Actors, Learners, algorithm_of, build_reward
from runtime.protocols import Completion, GenerationRequest, RolloutEngine
from runtime.stage_data import StageData
from runtime.stage_job import StageJob
from runtime.torch_process import set_up_torch

if TYPE_CHECKING:
    from torch import Tensor

    from stdlib.samples import TrainBatch

NUM_ENGINES = 512
SAMPLES = (2, 8)
MOST_S = 0.050
CPU, WHOLE, ROLLOUT = "cpu_s", "wall_s", "rollout_s"
_ROOT = Path(__file__).parents[1] / "train"
_RULES = FleetRules(most_ahead=16, most_blocks=1 << 16, most_requeues=2, revival_s=60.0)


def measure(options: Options) -> Report:
    """Measure steps of few and of many responses for each engine."""
    set_up_torch(cpu_threads=options.threads)
    plans = {samples: _plan(options.threads, samples) for samples in SAMPLES}
    cases = [_case(plan, samples, options.effort) for samples, plan in plans.items()]
    settings = {"threads": options.threads, "torch": torch.__version__, "engines": NUM_ENGINES}
    return Report(benchmark="driver", cases=cases, settings=settings, plan_hash=plans[SAMPLES[0]].hash)


def _plan(threads: int, samples: int) -> Plan:
    """A step of one prompt for each engine."""
    return compiled_step(
        (
            f"cluster.cpu_threads={threads}",
            f"rollout.prompts_per_step={NUM_ENGINES}",
            f"rollout.samples_per_prompt={samples}",
            f"train.global_batch={NUM_ENGINES * samples}",
        )
    )


def _case(plan: Plan, samples: int, effort: Effort) -> Case:
    with tempfile.TemporaryDirectory() as folder:
        contestants: list[Contestant] = []
        for name, engine in _engines().items():
            run_dir = Path(folder, name)
            run_dir.mkdir()
            job, data = make_job(plan, run_dir, _actors(plan, engine))
            contestants.append(Contestant(name=name, run=lambda job=job, data=data: _step(job, data)))
        rounds = take_rounds(contestants, effort)
    fleets = [contestant.name for contestant in contestants[1:]]
    alone = contestants[0].name
    figures = [
        Figure(
            name=f"CPU time of a step with {name}",
            value=1e3 * statistics.median(r.found[name][CPU] for r in rounds.counted()),
            unit="ms",
            bound=1e3 * MOST_S if samples == SAMPLES[0] else None,
            sense="at most",
        )
        for name in fleets
    ]
    figures += [Figure(name=f"{name} / {alone}", value=rounds.ratio(name, alone, of=CPU), unit="x") for name in fleets]
    return make_case(f"{NUM_ENGINES} prompts x {samples} samples", rounds, figures)


def _engines() -> dict[str, RolloutEngine]:
    """One engine alone; a fleet whose responses come in the order of engines; and one where they come as they come."""
    fleets = {True: f"{NUM_ENGINES} in order", False: f"{NUM_ENGINES} as they come"}
    return {
        "one engine": _Instant(is_repeatable=True),
        **{
            name: EngineFleet(
                [_Instant(is_repeatable=is_repeatable) for _ in range(NUM_ENGINES)], _RULES, when_lost=_never
            )
            for is_repeatable, name in fleets.items()
        },
    }


def _never(number: int, fault: Exception) -> None:
    raise AssertionError(f"engine {number} was lost: {fault}")


def _actors(plan: Plan, engine: RolloutEngine) -> Actors:
    stage = plan.experiment.stages[0]
    return Actors(
        learners=Learners(_Returning(), None),
        critic=None,
        engine=engine,
        send_weights=None,
        reward=build_reward(stage, root=_ROOT),
        algorithm=algorithm_of(stage),
        set_rewards={},
    )


class _Instant:
    """An engine whose responses are there at once."""

    def __init__(self, *, is_repeatable: bool) -> None:
        self.is_repeatable = is_repeatable

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield all responses."""
        generation = self.begin()
        generation.submit(requests)
        while (completion := await generation.next()) is not None:
            yield completion

    def begin(self) -> _Responses:
        """Return a generation."""
        return _Responses()

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Take none."""

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield none."""
        yield from ()


class _Responses:
    """Requests that are answered in order."""

    def __init__(self) -> None:
        self._num_requests = 0
        self._left: list[Completion] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Answer them."""
        for idx, request in enumerate(requests, self._num_requests):
            length = request.max_new_tokens
            tokens = tuple(48 + (request.key.group + k) % 10 for k in range(length))
            logprobs, versions = (-1.0,) * length, (0,) * length
            self._left += [
                Completion(request=idx, sample=k, tokens=tokens, logprobs=logprobs, versions=versions, finish="length")
                for k in range(request.num_samples)
            ]
        self._num_requests += len(requests)

    async def next(self) -> Completion | None:
        """Return the next."""
        await asyncio.sleep(0)
        return self._left.pop() if self._left else None

    def abort(self) -> list[Completion]:
        """Forget the rest."""
        self._left.clear()
        return []


class _Returning:
    """A trainer that computes nothing."""

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Return metrics."""
        return {"train/loss": 0.0, "train/lr": 1e-5, "train/samples": float(len(batch.lengths_N))}

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return the engine's."""
        assert batch.rollout_logprobs_T is not None
        return batch.rollout_logprobs_T

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the engine's."""
        return replace(batch, old_logprobs_T=batch.rollout_logprobs_T)

    def refresh_reference(self) -> None:
        """There is none."""

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield none."""
        yield from ()

    def state(self) -> dict[str, Tensor]:
        """Return none."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take none."""


def _step(job: StageJob, data: StageData) -> Measurement:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    metrics = asyncio.run(_taken(job, data))
    return {
        WHOLE: time.perf_counter() - begun,
        CPU: time.process_time() - cpu_begun,
        ROLLOUT: metrics["time/rollout_s"],
        "train_s": metrics["time/train_s"],
    }


async def _taken(job: StageJob, data: StageData) -> Mapping[str, float]:
    metrics = await data.take_step(job)
    job.progress.step += 1
    job.progress.global_step += 1
    job.sinks.write(job.row(metrics))
    return metrics
