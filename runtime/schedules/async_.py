"""Steps of a stage whose sampling does not wait for training: one step off, and asynchronous with a bound of staleness.

What may begin, and when, is what compiler.ir.schedules says is due; here it is carried out.  A step begins by sending
weights, with which groups that were broken off go on, and ends with a batch that has been trained on; what is under way
then is left in the stage's buffer (runtime.schedules.under_way).

Where the actors of the stage overlap, the trainer works while groups are sampled, and whatever ends first is taken note
of first.  In one process one thing is done at a time: the trainer goes first, judgements are waited for where training
could begin after them or nothing is sampled, and else the engine draws.  So what is under way when is a function of
the plan, and a run that is killed and resumed ends with the same bits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Action, Begin, Send, Train
from compiler.ir.schedules.order_of_stage import num_engines, order_of
from runtime.data.feed import Feed
from runtime.schedules.group_filter import GroupFilter
from runtime.schedules.sampled import SampledRollout
from runtime.schedules.staleness import staleness_metrics
from runtime.schedules.trained import Sampling, counted_by, counted_since, known_of, trained
from runtime.schedules.under_way import GroupsUnderWay, Judgement
from runtime.stage_job import StageJob
from runtime.telemetry.timeline import WAITS
from stdlib.samples import Group, Prompt

_WHILE_JUDGING = {"trainer": f"{WAITS}judgements", "engine": f"{WAITS}judgements", "reward": "judge"}


class AsyncSchedule:
    """Steps of a stage that trains on what older weights sampled as well.

    Args:
        keeps: what [rollout.filter] says, where there is one.
    """

    def __init__(self, feed: Feed[Prompt], keeps: GroupFilter | None) -> None:
        self._feed = feed
        self._keeps = keeps
        self._judging: dict[Judgement, Group] = {}

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Do what is due until a batch has been trained on; return the metrics of the step."""
        before = counted_by(job)
        groups = GroupsUnderWay(job, self._feed, self._keeps, self._judging)
        step = _Step(job, groups)
        with ExitStack() as on_fault:
            on_fault.callback(step.cancel)
            await step.run()
            on_fault.pop_all()
        return {
            **step.metrics,
            **counted_since(job, before),
            **groups.metrics(),
            **self._feed.take_metrics(),
            **job.timeline.metrics(),
            **step.times(),
        }


class _Step:
    def __init__(self, job: StageJob, groups: GroupsUnderWay) -> None:
        order = order_of(job.stage, num_engines=num_engines(job.experiment))
        if order is None:
            raise InternalError("a loop that does not wait, of a stage without a rollout")
        self._job, self._groups, self._order = job, groups, order
        self._loop = schedule.resumed(order, job.progress.step, under_way=groups.under_way(), waiting=groups.waiting())
        self._training: asyncio.Task[dict[str, float]] | None = None
        self._flying: asyncio.Task[None] | None = None
        self._clock = job.timeline.clock()
        self.metrics: dict[str, float] = {}

    async def run(self) -> None:
        """Carry out what is due until the batch of the step is trained on."""
        while True:
            action = next(iter(schedule.due(self._loop)), None)
            if self._is_over(action):
                if await self._groups.break_off(self._flying):
                    self._clock.note(**_WHILE_JUDGING)
                return
            if action is None:
                await self._until_something_ends()
            else:
                self._begin(action)

    def cancel(self) -> None:
        """Give up what is under way."""
        for task in (self._training, self._flying):
            if task is not None:
                task.cancel()
        self._groups.cancel()

    def times(self) -> dict[str, float]:
        """Return how long actors were busy, by the names that every schedule has for it."""
        timeline = self._job.timeline
        generate_s = timeline.seconds("engine", "generate")
        return {
            "time/sync_s": timeline.seconds("trainer", "send weights"),
            "time/rollout_s": generate_s,
            "time/train_s": timeline.seconds("trainer", "train"),
            "time/tokens_per_s": self._groups.num_sampled_tokens / max(generate_s, 1e-9),
        }

    def _is_over(self, action: Action | None) -> bool:
        if self._loop.trained == self._job.progress.step:
            return False
        # Whole batches end with the weights that began them.
        return self._order.flows or not (self._loop.under_way or isinstance(action, Begin))

    def _begin(self, action: Action) -> None:
        self._loop = schedule.started(self._loop, action)
        if isinstance(action, Send):
            self._job.sync()
            self._clock.note(trainer="send weights", engine="get weights")
            self._loop = schedule.ended(self._loop, action)
            self._groups.go_on()
        elif isinstance(action, Begin):
            self._groups.begin(action.groups)
        elif isinstance(action, Train):
            taken = self._groups.take(action)
            self._training = asyncio.get_running_loop().create_task(self._train(taken))
        else:
            raise InternalError(f"stage {self._job.stage.name} ends with a step that trained nothing")

    async def _until_something_ends(self) -> None:
        awaited = self._awaited()
        did = self._did(awaited)
        done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        self._clock.note(**did)
        for task in awaited:
            if task not in done:
                continue
            if task is self._training:
                self.metrics = task.result()
                self._loop = schedule.ended(self._loop, Train(self._loop.trained, ()))
                self._training = None
            elif task is self._flying:
                self._flying = None
                task.result()
            else:
                cohort, is_kept = self._groups.settle(task)
                self._loop = schedule.sampled(self._loop, cohort, left_out=0 if is_kept else cohort.groups)

    def _did(self, awaited: Sequence[asyncio.Task[Any]]) -> dict[str, str]:
        """What each actor does while something is awaited."""
        trains, generates = self._training in awaited, self._flying in awaited
        judges = bool(self._groups.judgements())
        idle = "judgements" if judges and not trains else "the trainer"
        return {
            "trainer": "train" if trains else f"{WAITS}groups",
            "engine": "generate" if generates else f"{WAITS}{idle}",
            "reward": "judge" if judges else f"{WAITS}groups",
        }

    def _awaited(self) -> list[asyncio.Task[Any]]:
        """What may end first: all that is under way, or in one process the one thing whose turn it is."""
        trains = [] if self._training is None else [self._training]
        judgements = self._groups.judgements()
        if self._job.actors.overlap:
            return [*trains, *judgements, *self._flight()]
        num_ready = schedule.count(self._loop.waiting) + len(judgements)
        if judgements and (num_ready >= self._order.batch or not self._groups.num_flying):
            return trains or [judgements[0]]
        return trains or self._flight()

    def _flight(self) -> list[asyncio.Task[None]]:
        if self._flying is None and self._groups.num_flying:
            self._flying = asyncio.get_running_loop().create_task(self._groups.fly())
        return [] if self._flying is None else [self._flying]

    async def _train(self, groups: list[Group]) -> dict[str, float]:
        version = self._job.progress.weights_version
        metrics = known_of(self._job, groups) | staleness_metrics(groups, version, lag=self._order.lag)
        rollout = SampledRollout(groups=groups, baselines=None, metrics=metrics)
        return await trained(self._job, Sampling(rollout=rollout, seconds=0.0))
