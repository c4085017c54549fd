"""The groups of one step: sampled, judged, filtered, and sampled again until there are as many as the step takes.

Draws are a function of the step and the number of the group within it, and prompts are taken in the order of the data,
so a step that is taken again after a resume has the same groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Never

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.algorithm import GreedyBaselineAlgo
from compiler.ir.openness import Off
from compiler.ir.rollout import GroupFilter as FilterSettings
from compiler.ir.rollout import Rollout
from runtime.data.feed import Feed
from runtime.protocols import DrawKey
from runtime.rollouts import GREEDY, RolloutWorker
from runtime.schedules.group_filter import GroupFilter
from runtime.schedules.sampled import SampledRollout, nothing_left, shortage
from runtime.stage_job import StageJob
from stdlib.samples import Group, Prompt


async def sample_rollout(job: StageJob, feed: Feed[Prompt], keeps: GroupFilter | None) -> SampledRollout:
    """Return the groups of the next step, and move the position in the data behind the prompts that were drawn.

    Args:
        keeps: what [rollout.filter] says, where there is one.

    Raises: SpecError RLC0690 if groups are missing and [rollout.filter] on_shortage is "stop", or if the filter leaves
    none; RLC0681 if judgements that failed leave none.
    """
    rollout = job.stage.rollout
    if not isinstance(rollout, Rollout) or job.worker is None:
        raise InternalError("a policy stage without a rollout")
    drawing = _Drawing(job=job, worker=job.worker, rollout=rollout, feed=feed, position=job.progress.data_position)
    if isinstance(rollout.filter, Off) or keeps is None:
        groups = await drawing.draw(rollout.prompts_per_step)
        metrics: dict[str, float] = {}
    else:
        groups, metrics = await _filtered(drawing, rollout.filter, keeps)
    baselines = None
    if isinstance(job.stage.algorithm.algo, GreedyBaselineAlgo):
        greedy = await drawing.greedy(groups)
        groups, baselines = of_the_same_prompts(groups, greedy)
    if not groups:
        raise SpecError(nothing_left(job, drawing.num_drawn))
    job.progress.data_position = drawing.position
    return SampledRollout(groups=groups, baselines=baselines, metrics=metrics)


def of_the_same_prompts(groups: Sequence[Group], others: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Both without the prompts that one of them left out because a response could not be judged."""
    named, others_named = ({group.samples[0].id.group: group for group in some} for some in (groups, others))
    both = [index for index in named if index in others_named]
    return [named[index] for index in both], [others_named[index] for index in both]


@dataclass(kw_only=True, slots=True)
class _Drawing:
    """Draws prompts of one step, one after another."""

    job: StageJob
    worker: RolloutWorker
    rollout: Rollout[Never]
    feed: Feed[Prompt]
    position: int
    num_drawn: int = 0
    drawn: list[Prompt] = field(default_factory=list)

    async def draw(self, count: int) -> list[Group]:
        """Return judged groups of the next prompts; those that could not be judged may be missing."""
        taken = self.feed.take(self.position, count)
        prompts, self.position = taken.rows, taken.position
        groups = await self.worker.groups(
            prompts,
            first_key=self._key(self.num_drawn),
            num_samples=self.rollout.samples_per_prompt,
            max_new_tokens=self.rollout.max_response_tokens,
            sampling=self.rollout.sampling,
        )
        self.num_drawn += count
        self.drawn += prompts
        return groups

    async def greedy(self, groups: Sequence[Group]) -> list[Group]:
        """Return the most likely response to the prompt of each group, as a group of one of the same number."""
        numbers = [group.samples[0].id.group for group in groups]
        tokens = self.rollout.max_response_tokens
        found: list[Group] = []
        for first, last in _runs(numbers):
            found += await self.worker.groups(
                self.drawn[first : last + 1],
                first_key=self._key(first),
                num_samples=1,
                max_new_tokens=tokens,
                sampling=GREEDY,
            )
        return found

    def _key(self, group: int) -> DrawKey:
        progress = self.job.progress
        return DrawKey(seed=self.job.stage.seeds.sampling, stage=progress.stage, step=progress.step, group=group)


async def _filtered(
    drawing: _Drawing, spec: FilterSettings[Never], keeps: GroupFilter
) -> tuple[list[Group], dict[str, float]]:
    wanted = drawing.rollout.prompts_per_step
    kept: list[Group] = []
    left_out: list[Group] = []
    refills = -1
    while len(kept) < wanted and refills < spec.max_refills:
        refills += 1
        for group in await drawing.draw(ceil((wanted - len(kept)) * spec.oversample)):
            (kept if keeps(group) else left_out).append(group)
    surplus = max(0, len(kept) - wanted)
    metrics = {
        "rollout/drawn_prompts": float(drawing.num_drawn),
        "rollout/filtered_groups": float(len(left_out)),
        "rollout/surplus_groups": float(surplus),
        "rollout/refills": float(refills),
    }
    missing = wanted - len(kept)
    if missing > 0 and spec.on_shortage == "stop":
        raise SpecError(shortage(len(kept), wanted, drawing.num_drawn))
    if missing > 0 and spec.on_shortage == "keep_filtered":
        kept += left_out[:missing]
        metrics["rollout/kept_filtered_groups"] = float(min(missing, len(left_out)))
    return kept[:wanted], metrics


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return numbers as runs of consecutive ones, first and last of each."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] + 1 == number:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
