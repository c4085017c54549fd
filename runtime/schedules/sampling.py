"""The groups of one step: sampled, judged, filtered, and sampled again until there are as many as the step takes.

Draws are a function of the step and the number of the group within it, and prompts are taken in the order of the data,
so a step that is taken again after a resume has the same groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import ceil
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.ir.algorithm import GreedyBaselineAlgo, SeveralRewardsAlgo
from compiler.ir.openness import Off
from compiler.ir.rollout import GroupFilter, Rollout
from runtime.data.feed import Feed
from runtime.protocols import DrawKey
from runtime.rewards.runner import nothing_left
from runtime.rollouts import GREEDY, RolloutWorker
from runtime.stage_job import StageJob
from runtime.train_batches import raw_reward_of
from stdlib.samples import Group, Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledRollout:
    """What one step trains on; `baselines` are the greedy responses to the same prompts, where an algorithm asks."""

    groups: list[Group]
    baselines: list[Group] | None
    metrics: dict[str, float]


async def sample_rollout(job: StageJob, feed: Feed[Prompt]) -> SampledRollout:
    """Return the groups of the next step, and move the position in the data behind the prompts that were drawn.

    Raises: SpecError RLC0690 if groups are missing and [rollout.filter] on_shortage is "stop", or if the filter leaves
    none; RLC0681 if judgements that failed leave none.
    """
    rollout = job.stage.rollout
    if not isinstance(rollout, Rollout) or job.worker is None:
        raise InternalError("a policy stage without a rollout")
    drawing = _Drawing(job=job, worker=job.worker, rollout=rollout, feed=feed, position=job.progress.data_position)
    if isinstance(rollout.filter, Off):
        groups = await drawing.draw(rollout.prompts_per_step)
        metrics: dict[str, float] = {}
    else:
        groups, metrics = await _filtered(drawing, rollout.filter, rollout.prompts_per_step)
    baselines = None
    if isinstance(job.stage.algorithm.algo, GreedyBaselineAlgo):
        greedy = await drawing.greedy(groups)
        groups, baselines = of_the_same_prompts(groups, greedy)
    if not groups:
        raise SpecError(_nothing_left(job, drawing.num_drawn))
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

    def compared(self, group: Group) -> list[list[float]]:
        """The rewards that the samples of a group are compared by: one before shaping, or each of several."""
        if not isinstance(self.job.stage.algorithm.algo, SeveralRewardsAlgo):
            return [[raw_reward_of(sample) for sample in group.samples]]
        labels = group.samples[0].reward_terms
        return [[sample.reward_terms[label] for sample in group.samples] for label in labels]

    def _key(self, group: int) -> DrawKey:
        progress = self.job.progress
        return DrawKey(seed=self.job.stage.seeds.sampling, stage=progress.stage, step=progress.step, group=group)


async def _filtered(drawing: _Drawing, spec: GroupFilter, wanted: int) -> tuple[list[Group], dict[str, float]]:
    keeps: Callable[[Sequence[float]], bool] = import_module(f"stdlib.filters.{spec.name}").keeps
    kept: list[Group] = []
    left_out: list[Group] = []
    refills = -1
    while len(kept) < wanted and refills < spec.max_refills:
        refills += 1
        for group in await drawing.draw(ceil((wanted - len(kept)) * spec.oversample)):
            (kept if any(keeps(rewards) for rewards in drawing.compared(group)) else left_out).append(group)
    surplus = max(0, len(kept) - wanted)
    metrics = {
        "rollout/drawn_prompts": float(drawing.num_drawn),
        "rollout/filtered_groups": float(len(left_out)),
        "rollout/surplus_groups": float(surplus),
        "rollout/refills": float(refills),
    }
    missing = wanted - len(kept)
    if missing > 0 and spec.on_shortage == "stop":
        raise SpecError(_shortage(drawing, len(kept), wanted))
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


def _shortage(drawing: _Drawing, num_kept: int, wanted: int) -> Diagnostic:
    return Diagnostic(
        "RLC0690",
        f"{num_kept:,} of {wanted:,} groups passed the filter after {drawing.num_drawn:,} prompts",
        help=(
            Help("raise rollout.filter.max_refills, or take prompts that the policy answers now and then"),
            Help('or set rollout.filter.on_shortage = "keep_filtered"'),
        ),
        paths=("rollout.filter.max_refills", "rollout.filter.on_shortage"),
    )


def _nothing_left(job: StageJob, num_drawn: int) -> Diagnostic:
    reward, rollout = job.actors.reward, job.stage.rollout
    if reward is not None and isinstance(rollout, Rollout) and isinstance(rollout.filter, Off):
        return nothing_left(num_drawn, reward.last_failure)
    return Diagnostic(
        "RLC0690",
        f"step {job.progress.step + 1} of stage {job.stage.name} has no group to train on: all of {num_drawn:,} "
        "prompts were left out",
        help=(Help("look at the rewards of this step"),),
        paths=("rollout.filter.on_shortage", "reward.on_failure"),
    )
