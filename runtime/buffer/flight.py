"""Groups under way in an engine: fresh ones and ones that were broken off, which come back whole or in part.

A sample goes on where it ended: the engine is given the prompt and the tokens so far, and draws the next one from the
position of the sample's own stream at which it stopped, so that a sample is named by its first step for good.  Tokens,
log-probs and versions of both parts stand in one segment.  The experts of a token stay those of the pass that drew the
token behind it, though the engine passes over the first part again before it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from compiler.ir.rollout import Sampling
from runtime.protocols import Completion, DrawKey, GenerationRequest
from runtime.rollouts import RolloutWorker
from runtime.routed_tokens import continued
from stdlib.samples import Group, Prompt, Sample, SampleId, Segment


@dataclass(kw_only=True, slots=True)
class _UnderWay:
    group: Group
    samples: list[Sample]

    @property
    def is_finished(self) -> bool:
        return all(sample.finish != "abort" for sample in self.samples)

    def now(self) -> Group:
        return replace(self.group, samples=tuple(self.samples))


class Flight:
    """What one step has under way.

    Args:
        seed: of the stage's sampling stream.

    `num_resumed_samples` and `num_resumed_tokens` count samples that had tokens when they were submitted, and these
    tokens; `num_sampled_tokens` those drawn since.
    """

    def __init__(self, worker: RolloutWorker, *, sampling: Sampling, max_response_tokens: int, seed: int) -> None:
        self._worker = worker
        self._sampling = sampling
        self._max_response_tokens = max_response_tokens
        self._seed = seed
        self._generation = worker.engine.begin()
        self._groups: list[_UnderWay] = []
        # Of each request: which group it belongs to, and the place of its first sample.
        self._requests: list[tuple[int, int]] = []
        self.num_under_way = 0
        self.num_resumed_samples = 0
        self.num_resumed_tokens = 0
        self.num_sampled_tokens = 0

    def submit(self, groups: Sequence[Group]) -> None:
        """Begin, or go on with, the unfinished samples of groups.  Raises: SpecError if one cannot be served."""
        requests: list[GenerationRequest] = []
        for number, group in enumerate(groups, len(self._groups)):
            for places in _runs(group.samples):
                self._requests.append((number, places[0]))
                requests.append(self._request(group, places))
        self._groups += [_UnderWay(group=group, samples=list(group.samples)) for group in groups]
        self.num_under_way += len(groups)
        self._generation.submit(requests)

    async def next(self) -> Group | None:
        """Return the next group that is finished, or None if none is under way."""
        while (completion := await self._generation.next()) is not None:
            under_way = self._add(completion)
            if under_way.is_finished:
                self.num_under_way -= 1
                return under_way.now()
        return None

    def abort(self) -> tuple[list[Group], list[Group]]:
        """Stop all that is under way.

        Returns: the groups that are finished and did not come out by `next`, and those that are not, in the order in
        which they were submitted.
        """
        came_out = [under_way.is_finished for under_way in self._groups]
        for completion in self._generation.abort():
            self._add(completion)
        left = [under_way for under_way, out in zip(self._groups, came_out, strict=True) if not out]
        self._groups.clear()
        self.num_under_way = 0
        return [u.now() for u in left if u.is_finished], [u.now() for u in left if not u.is_finished]

    def _request(self, group: Group, places: Sequence[int]) -> GenerationRequest:
        """One request for samples without tokens, which share their prompt, or for a single one with some."""
        first = group.samples[places[0]]
        num_drawn = first.num_response_tokens
        if num_drawn:
            self.num_resumed_samples += 1
            self.num_resumed_tokens += num_drawn
        return GenerationRequest(
            key=DrawKey(seed=self._seed, stage=first.id.stage, step=first.id.step, group=first.id.group),
            tokens=tuple(token for segment in first.segments for token in segment.tokens),
            num_samples=len(places),
            max_new_tokens=self._max_response_tokens - num_drawn,
            stop_token_ids=self._worker.stop_token_ids,
            stop_strings=self._worker.stop_strings,
            decode=self._worker.tokenizer.decode,
            sampling=self._sampling,
            first_sample=first.id.sample,
            first_draw=num_drawn,
            keeps_prefix=False,
        )

    def _add(self, completion: Completion) -> _UnderWay:
        number, first = self._requests[completion.request]
        under_way = self._groups[number]
        place = first + completion.sample
        self.num_sampled_tokens += len(completion.tokens)
        before = under_way.samples[place]
        response = _extended(before.segments[-1], completion)
        text = "" if completion.finish == "abort" else self._worker.tokenizer.decode(response.tokens)
        segments = (*before.segments[:-1], response)
        expert_ids = continued(before.expert_ids, completion.expert_ids)
        under_way.samples[place] = replace(
            before, segments=segments, text=text, finish=completion.finish, expert_ids=expert_ids
        )
        return under_way


def fresh_group(prompt: Prompt, *, first: SampleId, num_samples: int) -> Group:
    """Return a group of samples that have no token yet; `first` names the first of them."""
    segments = (Segment(tokens=prompt.tokens, is_sampled=False), Segment(tokens=(), is_sampled=True))
    samples = (
        Sample(id=replace(first, sample=first.sample + i), prompt=prompt, segments=segments, text="", finish="abort")
        for i in range(num_samples)
    )
    return Group(prompt=prompt, samples=tuple(samples))


def _extended(before: Segment, completion: Completion) -> Segment:
    return replace(
        before,
        tokens=before.tokens + completion.tokens,
        logprobs=before.logprobs + completion.logprobs,
        versions=before.versions + completion.versions,
    )


def _runs(samples: Sequence[Sample]) -> list[list[int]]:
    """Return the places of unfinished samples: neighbours without tokens together, others alone."""
    runs: list[list[int]] = []
    for is_untouched, some in groupby(range(len(samples)), lambda place: _is_untouched(samples[place])):
        places = list(some)
        if is_untouched:
            runs.append(places)
        else:
            runs += [[place] for place in places if samples[place].finish == "abort"]
    return runs


def _is_untouched(sample: Sample) -> bool:
    return sample.finish == "abort" and not sample.num_response_tokens
