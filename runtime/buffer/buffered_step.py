"""The groups of one step of a stage with a buffer: replayed, taken out of it, resumed, drawn, and put back.

Sampling ends with the first finished group that makes the step whole, in the order in which the engine finishes them,
never by a clock: what is judged is waited for wherever the answer decides whether sampling ends or more prompts are
drawn, and nowhere else.  So the step is a function of the weights, the data and what the buffer held, and a run that is
killed and resumed takes it again bit by bit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from math import ceil

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.openness import Off
from compiler.ir.rollout import Buffer, Rollout
from runtime.buffer.flight import Flight, fresh_group
from runtime.buffer.rollout_buffer import Kept, Selector, drawn_at, put, take
from runtime.data.feed import Feed
from runtime.schedules.group_filter import GroupFilter
from runtime.schedules.sampled import SampledRollout, nothing_left, shortage
from runtime.stage_job import StageJob
from stdlib.samples import Group, Prompt, SampleId


class BufferedStep:
    """One step.

    Args:
        keeps: what [rollout.filter] says, where there is one.
        select: what takes groups out of the buffer.
    """

    def __init__(self, job: StageJob, feed: Feed[Prompt], keeps: GroupFilter | None, select: Selector) -> None:
        rollout = job.stage.rollout
        if not isinstance(rollout, Rollout) or isinstance(rollout.buffer, Off) or job.worker is None:
            raise InternalError("a buffered step of a stage without a buffer")
        self._job, self._rollout, self._spec = job, rollout, rollout.buffer
        self._feed, self._select = feed, select
        self._position = job.progress.data_position
        self._version = job.progress.weights_version
        self._num_fresh = 0
        self._num_refills = 0
        self._judging = _Judging(job, keeps)
        self._flight = Flight(
            job.worker,
            sampling=rollout.sampling,
            max_response_tokens=rollout.max_response_tokens,
            seed=job.stage.seeds.sampling,
        )

    async def sample(self) -> SampledRollout:
        """Return the groups of the step, leave the others in the buffer, and move on in the data.

        Raises: SpecError RLC0690 if groups are missing and [rollout.filter] on_shortage is "stop", or if the filter
        leaves none; RLC0681 if judgements that failed leave none; RLC0664 for a custom filter or selector.
        """
        buffer, spec = self._job.buffer, self._spec
        dropped = buffer.drop_stale(self._version, spec.max_staleness_steps)
        wanted = self._rollout.prompts_per_step
        num_replayed = 0 if isinstance(spec.replay, Off) else spec.replay.num_groups(wanted)
        replayed = self._take(buffer.used, num_replayed)
        waiting = self._take(buffer.finished, wanted - len(replayed))
        missing = wanted - len(replayed) - len(waiting)
        counts = {
            "buffer/dropped_stale": dropped,
            "buffer/replayed_groups": len(replayed),
            "buffer/taken_groups": len(waiting),
        }
        drawn, fillers = await self._drawn(missing, counts)
        self._job.progress.data_position = self._position
        used = [*replayed, *waiting, *(Kept(group=group) for group in drawn)]
        groups = sorted([*(kept.group for kept in used), *fillers], key=drawn_at)
        if not groups:
            raise SpecError(nothing_left(self._job, self._num_fresh))
        if not isinstance(spec.replay, Off):
            again = (Kept(group=kept.group, num_uses=kept.num_uses + 1) for kept in used)
            put(buffer.used, (kept for kept in again if kept.num_uses <= spec.replay.max_uses))
        return SampledRollout(groups=groups, baselines=None, metrics=self._metrics(groups, counts))

    async def _drawn(self, missing: int, counts: dict[str, int]) -> tuple[list[Group], list[Group]]:
        """Sample until the step is whole, and return the groups that it takes, and filtered ones that fill it up."""
        try:
            if missing:
                await self._fly(missing)
            finished, unfinished = self._flight.abort()
            # Where old tokens do not count, a group that waits whole would teach nothing.
            keeps_surplus = self._spec.stale_tokens == "train"
            for group in finished if keeps_surplus else ():
                self._judging.begin(group)
            await self._judging.settle()
        finally:
            self._judging.cancel()
            self._flight.abort()
        kept, left_out = self._judging.kept, self._judging.left_out
        surplus = kept[missing:]
        counts |= self._filter_counts(len(left_out), len(surplus))
        if not keeps_surplus:
            counts["buffer/dropped_surplus"] = len(surplus) + len(finished)
        put(self._job.buffer.finished, (Kept(group=group) for group in surplus if keeps_surplus))
        put(self._job.buffer.unfinished, (Kept(group=group) for group in unfinished))
        return kept[:missing], self._fillers(missing - len(kept), len(kept), left_out, counts)

    def _fillers(self, missing: int, num_kept: int, left_out: list[Group], counts: dict[str, int]) -> list[Group]:
        spec = self._rollout.filter
        if isinstance(spec, Off) or missing <= 0:
            return []
        if spec.on_shortage == "stop":
            raise SpecError(shortage(num_kept, num_kept + missing, self._num_fresh))
        if spec.on_shortage == "train_fewer":
            return []
        counts["rollout/kept_filtered_groups"] = min(missing, len(left_out))
        return left_out[:missing]

    async def _fly(self, missing: int) -> None:
        """Sample until so many groups are kept, or no more are to come."""
        judging, flight, is_partial = self._judging, self._flight, self._spec.partial
        self._refill(missing)
        while True:
            num_open = len(judging.kept) + flight.num_under_way
            may_end = is_partial and len(judging.kept) + judging.num_pending >= missing
            is_short = num_open < missing if is_partial else not flight.num_under_way and num_open < missing
            may_refill = is_short and self._num_refills < self._refills_at_most()
            if (may_end or may_refill) and judging.num_pending:
                await judging.settle_oldest()
            elif may_end:
                return
            elif may_refill:
                self._num_refills += 1
                self._refill(missing)
            elif (group := await flight.next()) is None:
                return
            else:
                judging.begin(group)

    def _refills_at_most(self) -> int:
        return 0 if isinstance(self._rollout.filter, Off) else self._rollout.filter.max_refills

    def _refill(self, missing: int) -> None:
        """Bring as many groups under way as the step may need: those that were broken off first, then fresh ones."""
        wanted = missing - len(self._judging.kept)
        count = ceil(wanted * _oversample(self._rollout, self._spec)) - self._flight.num_under_way
        resumed = [kept.group for kept in self._take(self._job.buffer.unfinished, count)]
        self._flight.submit([*resumed, *self._fresh(count - len(resumed))])

    def _fresh(self, count: int) -> Iterator[Group]:
        """Groups of the next prompts, without a token yet."""
        progress = self._job.progress
        taken = self._feed.take(self._position, max(0, count))
        self._position = taken.position
        for prompt in taken.rows:
            first = SampleId(stage=progress.stage, step=progress.step, group=self._num_fresh, sample=0)
            self._num_fresh += 1
            yield fresh_group(prompt, first=first, num_samples=self._rollout.samples_per_prompt)

    def _take(self, pool: list[Kept], count: int) -> list[Kept]:
        return take(pool, count, version=self._version, select=self._select)

    def _filter_counts(self, num_left_out: int, num_surplus: int) -> dict[str, int]:
        if isinstance(self._rollout.filter, Off):
            return {}
        return {
            "rollout/drawn_prompts": self._num_fresh,
            "rollout/filtered_groups": num_left_out,
            "rollout/surplus_groups": num_surplus,
            "rollout/refills": self._num_refills,
        }

    def _metrics(self, groups: Sequence[Group], counts: dict[str, int]) -> dict[str, float]:
        buffer, flight = self._job.buffer, self._flight
        ages = [
            self._version - version
            for group in groups
            for sample in group.samples
            for segment in sample.segments
            for version in segment.versions
        ]
        return {
            **counts,
            "buffer/finished_groups": len(buffer.finished),
            "buffer/unfinished_groups": len(buffer.unfinished),
            "buffer/used_groups": len(buffer.used),
            "buffer/resumed_samples": flight.num_resumed_samples,
            "buffer/resumed_tokens": flight.num_resumed_tokens,
            "buffer/sampled_tokens": flight.num_sampled_tokens,
            "buffer/stale_tokens_frac": sum(age > 0 for age in ages) / max(len(ages), 1),
            "buffer/staleness_mean": sum(ages) / max(len(ages), 1),
            "buffer/staleness_max": max(ages, default=0),
            "time/reward_wait_s": self._judging.waited_s,
        }


def _oversample(rollout: Rollout[object], spec: Buffer[object]) -> float:
    if spec.partial:
        return spec.oversample
    return 1.0 if isinstance(rollout.filter, Off) else rollout.filter.oversample


class _Judging:
    """Groups that are judged beside generation, and what the filter says of them, in the order in which they ended.

    kept, left_out: groups whose judgement has been waited for; one that failed is in neither.
    """

    def __init__(self, job: StageJob, keeps: GroupFilter | None) -> None:
        if job.worker is None:
            raise InternalError("judging without a reward")
        self._worker = job.worker
        self._keeps = keeps
        self._pending: list[asyncio.Task[Group | None]] = []
        self.kept: list[Group] = []
        self.left_out: list[Group] = []
        self.waited_s = 0.0

    @property
    def num_pending(self) -> int:
        """Groups whose judgement has not been waited for, whether it is there or not."""
        return len(self._pending)

    def begin(self, group: Group) -> None:
        """Start to judge a group.  Raises: SpecError if an earlier judgement has ended the run."""
        for task in self._pending:
            if task.done():
                task.result()
        self._pending.append(asyncio.get_running_loop().create_task(self._worker.judged(group)))

    async def settle_oldest(self) -> None:
        """Wait for the judgement of the group that ended first.  Raises: SpecError if it ends the run."""
        started = time.perf_counter()
        group = await self._pending[0]
        self.waited_s += time.perf_counter() - started
        del self._pending[0]
        if group is not None:
            (self.kept if self._keeps is None or self._keeps(group) else self.left_out).append(group)

    async def settle(self) -> None:
        """Wait for all judgements.  Raises: SpecError if one ends the run."""
        while self._pending:
            await self.settle_oldest()

    def cancel(self) -> None:
        """Give up what has not been waited for."""
        for task in self._pending:
            if not task.cancel() and not task.cancelled():
                task.exception()
