"""The reward runner: judges responses beside generation, by one reward or by several, and counts what fails.

Judging a group begins when it arrives, whatever is still being generated; only rewards of level `batch` wait for all.
The scores of several rewards are kept by name in `Sample.reward_terms`, before weights; their weighted sum is
`raw_reward`, and what shaping makes of that is `reward`, which advantages are computed from.  Where a judgement failed
and the run goes on, `failure_score` stands for the sum and for the terms that have no score.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Never, TypeVar

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.reward_settings import BY_ROW
from compiler.ir.rollout import Reward
from runtime.rewards.failures import JudgementError
from runtime.rewards.open_terms import NamedTerm, open_terms
from stdlib.rewards._shaping import shaped
from stdlib.rewards.by_row import named_by
from stdlib.samples import Group, Sample

T = TypeVar("T")

_Scores = list[dict[str, float]]


class RewardRunner:
    """Fills in the rewards of groups; implements `runtime.protocols.Reward`.

    `num_unjudged` counts the responses that got their score because judging them took too long, `num_failed` those
    whose judgement failed, `last_failure` says why the last of them did, and `last_code` is the code of that.
    Raises: SpecError RLC0610 or RLC0611 if a function cannot be loaded or is not the one that was compiled.
    """

    def __init__(self, reward: Reward[Never], *, root: Path) -> None:
        self._reward = reward
        self._terms = open_terms(reward, root=root)
        self._counts: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._waited_s = 0.0
        self.num_failed = 0
        self.last_failure, self.last_code = "", ""

    @property
    def num_unjudged(self) -> int:
        """Responses that got the score that a reward has for those that it cannot judge."""
        return sum(term.term.counters().get("unjudged", 0) for term in self._terms)

    async def score(self, group: Group) -> Group:
        """Return one group with its rewards.  Raises: as `score_all`."""

        async def arriving() -> AsyncIterator[Group]:
            yield group

        return (await self.score_all(arriving()))[0]

    async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
        """Return groups with their rewards, in the order of their ids; without those that a failure left out.

        The first failure that ends the run cancels the others and the wait for more groups.
        Raises: SpecError RLC0612 if a function raises, RLC0613 if it takes too long, RLC0614 for what it returns,
        RLC0680 if a service does not answer; and whatever `groups` raises.
        """
        tasks: list[tuple[Group, asyncio.Task[_Scores | None]]] = []
        finished = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as running:
                async for group in groups:
                    tasks.append((group, running.create_task(self._of_group(group))))
                finished = time.perf_counter()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        tasks.sort(key=lambda pair: _order(pair[0]))
        judged = [(group, task.result()) for group, task in tasks]
        left = await self._with_batch_terms([(group, scores) for group, scores in judged if scores is not None])
        self._waited_s += time.perf_counter() - finished
        return [self._scored(group, scores) for group, scores in left]

    def take_metrics(self) -> dict[str, float]:
        """Return what was counted since the last call: failures by kind, and the time that judging took on its own."""
        counts = {"reward/failed": self.num_failed, **self._counts}
        for term in self._terms:
            for name, count in term.term.counters().items():
                counts[f"reward/{name}"] = counts.get(f"reward/{name}", 0) + count
        found: dict[str, float] = {name: count - self._seen.get(name, 0) for name, count in counts.items()}
        found["time/reward_wait_s"] = self._waited_s
        self._seen, self._waited_s = counts, 0.0
        return found

    def close(self) -> None:
        """Let go of processes, connections and weights."""
        for term in self._terms:
            term.term.close()

    async def _of_group(self, group: Group) -> _Scores | None:
        """The scores of each sample by the terms that need no other group; None for a group that is left out."""
        found: _Scores = [{} for _ in group.samples]
        for sample in group.samples:
            if self._is_refused(sample) and not self._survives(_nothing_to_judge(self._reward, sample), 1):
                return None
        calls: list[Coroutine[Any, Any, bool]] = []
        for named in self._terms:
            if named.term.level == "group" and self._judges(named, group.samples[0]):
                calls.append(self._by_group(named, group, found))
            elif named.term.level == "sample":
                calls += [
                    self._by_sample(named, sample, scores)
                    for sample, scores in zip(group.samples, found, strict=True)
                    if self._judges(named, sample) and not self._is_refused(sample)
                ]
        return found if all(await _together(calls)) else None

    def _judges(self, named: NamedTerm, sample: Sample) -> bool:
        reward = self._reward
        return reward.name != BY_ROW or named_by(sample.prompt.metadata, reward.row_key) == named.label

    def _is_refused(self, sample: Sample) -> bool:
        return self._reward.empty_responses == "fail" and sample.is_empty

    async def _by_sample(self, named: NamedTerm, sample: Sample, scores: dict[str, float]) -> bool:
        try:
            scores[named.label] = await named.term.of_sample(sample)
        except JudgementError as failure:
            return self._survives(failure, 1)
        return True

    async def _by_group(self, named: NamedTerm, group: Group, found: _Scores) -> bool:
        try:
            numbers = await named.term.of_group(group)
        except JudgementError as failure:
            return self._survives(failure, len(group.samples))
        for scores, number in zip(found, numbers, strict=True):
            scores[named.label] = number
        return True

    async def _with_batch_terms(self, judged: list[tuple[Group, _Scores]]) -> list[tuple[Group, _Scores]]:
        for named in self._terms:
            if named.term.level != "batch" or not judged:
                continue
            try:
                rows = await named.term.of_batch([group for group, _ in judged])
            except JudgementError as failure:
                if not self._survives(failure, sum(len(group.samples) for group, _ in judged)):
                    return []
                continue
            for (_, found), row in zip(judged, rows, strict=True):
                for scores, number in zip(found, row, strict=True):
                    scores[named.label] = number
        return judged

    def _survives(self, failure: JudgementError, num_responses: int) -> bool:
        """Count a failure, and return whether its responses stay.  Raises: SpecError where it ends the run."""
        if self._reward.on_failure == "stop":
            raise failure.to_error() from failure.__cause__
        self.num_failed += num_responses
        self.last_failure, self.last_code = str(failure), failure.code
        name = f"reward/failed/{failure.kind}"
        self._counts[name] = self._counts.get(name, 0) + num_responses
        return self._reward.on_failure == "score"

    def _scored(self, group: Group, found: _Scores) -> Group:
        pairs = zip(group.samples, found, strict=True)
        return replace(group, samples=tuple(self._judged(sample, scores) for sample, scores in pairs))

    def _judged(self, sample: Sample, scores: Mapping[str, float]) -> Sample:
        reward, asked = self._reward, [named for named in self._terms if self._judges(named, sample)]
        if self._is_refused(sample) or any(named.label not in scores for named in asked):
            failed = reward.failure_score
            terms = {named.label: scores.get(named.label, failed) for named in asked}
            return replace(sample, reward=failed, raw_reward=failed, reward_terms=terms, has_failed=True)
        raw = sum(named.weight * scores[named.label] for named in asked)
        final = raw if isinstance(reward.shaping, Off) else shaped(raw, sample, reward.shaping)
        return replace(sample, reward=final, raw_reward=raw, reward_terms=scores)


async def _together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        async with asyncio.TaskGroup() as running:
            tasks = [running.create_task(call) for call in calls]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    return [task.result() for task in tasks]


def _nothing_to_judge(reward: Reward[Never], sample: Sample) -> JudgementError:
    return JudgementError("empty", reward.name, f"was given an empty response, on {sample.prompt.source}")


def nothing_left(number: int, why: str) -> Diagnostic:
    return Diagnostic(
        "RLC0681",
        f"no group of the step is left: in each of {number} a judgement failed",
        help=(Help(f"the last of them: {why}"),),
        paths=("reward.on_failure",),
    )


def _order(group: Group) -> tuple[int, int, int]:
    first = group.samples[0].id
    return first.stage, first.step, first.group
