"""The groups of a loop that does not wait, within one step: begun or gone on with, judged, filtered, and broken off.

Between two steps nothing is under way.  What is unfinished when a step ends is broken off, waits in the stage's buffer
with its tokens, log-probs and versions, and goes on in the next step; its prompt and tokens are run again then, by the
weights that draw the next one, as in AReaL (arXiv:2505.24298, section 4.1).  So the log-prob of a token is that of one
version of the weights, and a checkpoint holds all that a run needs to go on bit by bit.

A group is of the version that began it, which is the step that its samples are named by.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.schedules.loop import Cohort, Train
from runtime.buffer.flight import Flight, fresh_group
from runtime.buffer.rollout_buffer import Kept, drawn_at, put
from runtime.data.feed import Feed
from runtime.schedules.group_filter import GroupFilter
from runtime.schedules.sampled import nothing_left, shortage
from runtime.stage_job import StageJob
from stdlib.samples import Group, Prompt, SampleId

Judgement: TypeAlias = asyncio.Task[Group | None]


class Ended(NamedTuple):
    """A group of a version that ended; one that is not kept begins again, with another prompt."""

    cohort: Cohort
    is_kept: bool


class GroupsUnderWay:
    """The groups of one step.

    Args:
        keeps: what [rollout.filter] says, where there is one.
        judging: groups of the step before that are judged still; what is judged at the end of this one is left in it.
    """

    def __init__(
        self, job: StageJob, feed: Feed[Prompt], keeps: GroupFilter | None, judging: dict[Judgement, Group]
    ) -> None:
        rollout = job.stage.rollout
        if not isinstance(rollout, Rollout) or job.worker is None:
            raise InternalError("a loop that does not wait, of a stage that samples nothing")
        self._job, self._rollout, self._worker = job, rollout, job.worker
        self._feed, self._keeps = feed, keeps
        self._waiting = [kept.group for kept in job.buffer.finished]
        self._judging = judging
        judged = {drawn_at(group) for group in judging.values()}
        self._broken_off = [k.group for k in job.buffer.unfinished if drawn_at(k.group) not in judged]
        self._flight = Flight(
            job.worker,
            sampling=rollout.sampling,
            max_response_tokens=rollout.max_response_tokens,
            seed=job.stage.seeds.sampling,
        )
        self._num_fresh = 0
        self._num_left_out = 0
        self._num_kept_filtered = 0
        self._num_unjudged_in_a_row = 0

    def under_way(self) -> tuple[Cohort, ...]:
        """Return the groups that an earlier step began and that are not judged, by the version that began them."""
        return _cohorts([*self._broken_off, *self._judging.values()])

    def waiting(self) -> tuple[Cohort, ...]:
        """Return the groups that are ready for training, by the version that began them."""
        return _cohorts(self._waiting)

    @property
    def num_flying(self) -> int:
        """Groups that are sampled."""
        return self._flight.num_under_way

    @property
    def num_sampled_tokens(self) -> int:
        """Tokens that were drawn in this step."""
        return self._flight.num_sampled_tokens

    def go_on(self) -> None:
        """Go on with what was broken off, and judge what was sampled and not judged."""
        for group in self._broken_off:
            if _is_sampled(group):
                self._judge(group)
        self._flight.submit([group for group in self._broken_off if not _is_sampled(group)])
        self._broken_off = []

    def begin(self, count: int) -> None:
        """Begin groups of the next prompts.  Raises: SpecError for rows that cannot be used or served."""
        self._flight.submit(list(self._fresh(count)))

    async def fly(self) -> None:
        """Wait until a group is sampled, and begin to judge it; nothing happens where none is under way.

        Raises: SpecError of the engine, or if a judgement has ended the run.
        """
        group = await self._flight.next()
        if group is not None:
            self._judge(group)

    def judgements(self) -> tuple[Judgement, ...]:
        """Return what becomes of groups that are sampled, in the order in which they were."""
        return tuple(self._judging)

    def settle(self, judgement: Judgement) -> Ended:
        """Take note of a judgement that is there.

        Raises: SpecError RLC0690 if a filter leaves out too many and says "stop"; RLC0681 if judgements of a whole
        batch in a row failed; and whatever a judgement that ends the run raises.
        """
        sampled, judged = self._judging.pop(judgement), judgement.result()
        is_kept = judged is not None and self._is_kept(judged)
        if judged is None:
            self._note_unjudged()
        elif is_kept:
            self._waiting.append(judged)
            self._num_unjudged_in_a_row = 0
        return Ended(Cohort(drawn_at(sampled)[0], 1), is_kept)

    def take(self, action: Train) -> list[Group]:
        """Remove the groups of a batch and return them in the order in which they were drawn."""
        wanted = Counter(dict(action.taken))
        self._waiting.sort(key=drawn_at)
        taken: list[Group] = []
        left: list[Group] = []
        for group in self._waiting:
            version = drawn_at(group)[0]
            (taken if wanted[version] > 0 else left).append(group)
            wanted[version] -= 1
        self._waiting = left
        return taken

    async def break_off(self, flying: asyncio.Task[None] | None) -> int:
        """End the step: what waits, is judged or is unfinished is left in the stage's buffer.

        Where actors overlap, judging goes on into the next step; a run that is resumed judges those groups again.

        Args:
            flying: a call of `fly` that has not returned.

        Returns: how many judgements were waited for.
        """
        if flying is not None:
            flying.cancel()
            await asyncio.wait([flying])
            if not flying.cancelled():
                flying.result()
        finished, unfinished = self._flight.abort()
        for group in finished:
            self._judge(group)
        awaited = () if self._job.actors.overlap else self.judgements()
        for judgement in awaited:
            await asyncio.wait([judgement])
            self.settle(judgement)
        buffer, open_ones = self._job.buffer, (*self._broken_off, *unfinished, *self._judging.values())
        buffer.finished.clear()
        buffer.unfinished.clear()
        put(buffer.finished, (Kept(group=group) for group in self._waiting))
        put(buffer.unfinished, (Kept(group=group) for group in open_ones))
        return len(awaited)

    def cancel(self) -> None:
        """Give up all that is under way."""
        self._flight.abort()
        for judgement in self._judging:
            if not judgement.cancel() and not judgement.cancelled():
                judgement.exception()

    def metrics(self) -> dict[str, float]:
        """Return what the step counted."""
        buffer, flight = self._job.buffer, self._flight
        filtered = {
            "rollout/drawn_prompts": self._num_fresh,
            "rollout/filtered_groups": self._num_left_out,
            "rollout/kept_filtered_groups": self._num_kept_filtered,
        }
        return {
            **({} if isinstance(self._rollout.filter, Off) else filtered),
            "schedule/begun_groups": self._num_fresh,
            "schedule/waiting_groups": len(buffer.finished),
            "schedule/unfinished_groups": len(buffer.unfinished),
            "schedule/resumed_samples": flight.num_resumed_samples,
            "schedule/resumed_tokens": flight.num_resumed_tokens,
            "schedule/sampled_tokens": flight.num_sampled_tokens,
        }

    def _fresh(self, count: int) -> Iterator[Group]:
        """Groups of the next prompts, without a token yet."""
        progress = self._job.progress
        taken = self._feed.take(progress.data_position, count)
        progress.data_position = taken.position
        for prompt in taken.rows:
            first = SampleId(stage=progress.stage, step=progress.step, group=self._num_fresh, sample=0)
            self._num_fresh += 1
            yield fresh_group(prompt, first=first, num_samples=self._rollout.samples_per_prompt)

    def _judge(self, group: Group) -> None:
        """Begin to judge a group.  Raises: SpecError if an earlier judgement has ended the run."""
        for judgement in self._judging:
            if judgement.done():
                judgement.result()
        self._judging[asyncio.get_running_loop().create_task(self._worker.judged(group))] = group

    def _is_kept(self, group: Group) -> bool:
        spec = self._rollout.filter
        if isinstance(spec, Off) or self._keeps is None or self._keeps(group):
            return True
        most = self._rollout.prompts_per_step * (1 + spec.max_refills)
        if self._num_left_out < most:
            self._num_left_out += 1
            return False
        if spec.on_shortage == "stop":
            raise SpecError(shortage(len(self._waiting), self._rollout.prompts_per_step, self._num_fresh))
        self._num_kept_filtered += 1
        return True

    def _note_unjudged(self) -> None:
        self._num_unjudged_in_a_row += 1
        if self._num_unjudged_in_a_row >= self._rollout.prompts_per_step:
            raise SpecError(nothing_left(self._job, self._num_unjudged_in_a_row))


def _is_sampled(group: Group) -> bool:
    return all(sample.finish != "abort" for sample in group.samples)


def _cohorts(groups: Sequence[Group]) -> tuple[Cohort, ...]:
    versions = Counter(drawn_at(group)[0] for group in groups)
    return tuple(Cohort(version, versions[version]) for version in sorted(versions))
