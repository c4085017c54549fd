"""Steps of a stage in one process, where one action ends before the next begins.

What a step that samples does, and in which order, is what compiler.ir.schedules says is due: a synchronous loop sends
weights, samples, and trains.  Stages that learn from rows as they are only train.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Begin, Cohort, Loop, Send, Train
from compiler.ir.schedules.order_of_stage import order_of
from runtime.buffer.buffered_step import BufferedStep
from runtime.buffer.rollout_buffer import Selector
from runtime.data.feed import Feed
from runtime.data.preferences import Preference, preference_batch
from runtime.schedules.group_filter import GroupFilter
from runtime.schedules.sampled import SampledRollout
from runtime.schedules.sampling import sample_rollout
from runtime.schedules.trained import Sampling, counted_by, counted_since, known_of, trained
from runtime.stage_job import StageJob
from runtime.telemetry.timeline import WAITS
from stdlib.samples import Prompt, TrainBatch

R = TypeVar("R")


class PolicySchedule:
    """Steps of a stage that trains on what it samples.

    Args:
        keeps: what [rollout.filter] says, where there is one.
        select: what takes groups out of the buffer, where there is one.
    """

    def __init__(self, feed: Feed[Prompt], keeps: GroupFilter | None, select: Selector | None) -> None:
        self._feed = feed
        self._keeps = keeps
        self._select = select
        self._loop: Loop | None = None

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Do what is due until a batch has been trained on; return the metrics of its rollout and of its training."""
        loop = self._begun(job)
        sampling: Sampling | None = None
        sync_s, clock = 0.0, job.timeline.clock()
        while True:
            action = schedule.due(loop)[0]
            loop = schedule.started(loop, action)
            if isinstance(action, Send):
                sync_s += job.sync()
                clock.note(trainer="send weights", engine="get weights")
            elif isinstance(action, Begin):
                sampling = await self._sampling(job)
                clock.note(trainer=f"{WAITS}groups", engine="generate")
                # Groups that are missing for good, as a filter may say, make a smaller batch and not another one.
                loop = schedule.sampled(loop, Cohort(action.version, action.groups))
            elif isinstance(action, Train) and sampling is not None:
                metrics = await trained(job, sampling)
                clock.note(trainer="train", engine=f"{WAITS}the trainer")
                self._loop = schedule.ended(loop, action)
                return {**metrics, **job.timeline.metrics(), "time/sync_s": sync_s}
            else:
                raise InternalError(f"the schedule of stage {job.stage.name} has no batch to train on: {action}")
            loop = schedule.ended(loop, action)

    def _begun(self, job: StageJob) -> Loop:
        """The loop where the step before left it, or as it is where a stage begins or goes on."""
        if self._loop is None:
            order = order_of(job.stage)
            if order is None:
                raise InternalError("a policy stage without a rollout")
            self._loop = schedule.resumed(order, job.progress.step)
        return self._loop

    async def _sampling(self, job: StageJob) -> Sampling:
        started = time.perf_counter()
        rollout = await self._sample(job)
        return Sampling(rollout=rollout, seconds=time.perf_counter() - started)

    async def _sample(self, job: StageJob) -> SampledRollout:
        """Return the rollout of the step, with all that is known of it before anything is trained."""
        before = counted_by(job)
        if self._select is None:
            rollout = await sample_rollout(job, self._feed, self._keeps)
        else:
            rollout = await BufferedStep(job, self._feed, self._keeps, self._select).sample()
        metrics = known_of(job, rollout.groups) | counted_since(job, before) | rollout.metrics
        return replace(rollout, metrics=metrics | self._feed.take_metrics())


class SupervisedSchedule(Generic[R]):
    """Steps of a stage that learns from rows as they are: one that imitates, or a reward model.

    Args:
        batch_of: makes a batch of some rows.
    """

    def __init__(self, feed: Feed[R], batch_of: Callable[[Sequence[R]], TrainBatch]) -> None:
        self._feed = feed
        self._batch_of = batch_of

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Take one optimizer step on the next rows."""
        taken = self._feed.take(job.progress.data_position, job.stage.train.global_batch)
        job.progress.data_position = taken.position
        started = time.perf_counter()
        metrics = job.actors.learner.step(self._batch_of(taken.rows))
        job.progress.weights_version += 1
        seconds = time.perf_counter() - started
        return {**metrics, **self._feed.take_metrics(), "time/train_s": seconds}


class PreferenceSchedule:
    """Steps of a stage that learns which of two answers is better."""

    def __init__(self, feed: Feed[Preference]) -> None:
        self._feed = feed

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Take one optimizer step on the next pairs."""
        taken = self._feed.take(job.progress.data_position, job.stage.train.global_batch)
        job.progress.data_position = taken.position
        started, trainer = time.perf_counter(), job.actors.trained_policy()
        batch = preference_batch(taken.rows)
        metrics = trainer.step(replace(batch, ref_logprobs_T=trainer.logprobs(batch, of="reference")))
        job.progress.weights_version += 1
        seconds = time.perf_counter() - started
        return {**metrics, **self._feed.take_metrics(), "time/train_s": seconds}
