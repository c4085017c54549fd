"""Prompts under way behind a server, and the engine's generations that answer them.

A job is one prompt of one request.  Its samples may pass through several generations of the engine: one that is
retracted is broken off and begins again where it was, so a response is put together from what was drawn before and
after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.server.stepped import SteppedEngine, SteppedGeneration
from runtime.protocols import Completion, GenerationRequest
from runtime.routed_tokens import continued
from stdlib.samples import ExpertIds

Finish = Literal["stop", "length", "abort"]

# So many responses may wait for a client that reads slowly before nothing more is said of those that go on.
_UNREAD_MAX: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Tokens of a response with what was asked for about each and about its prompt, as `Completion` has it."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    versions: tuple[int, ...] = ()
    token_logprobs: tuple[tuple[float, ...], ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    stop_reason: int | str | None = None
    prompt_logprobs: tuple[float, ...] = ()
    prompt_token_logprobs: tuple[tuple[float, ...], ...] = ()
    prompt_top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    num_cached_tokens: int = 0
    expert_ids: ExpertIds | None = None

    def then(self, completion: Completion) -> Part:
        """Return these tokens and those of a completion behind them."""
        return Part(
            tokens=self.tokens + completion.tokens,
            logprobs=self.logprobs + completion.logprobs,
            versions=self.versions + completion.versions,
            token_logprobs=self.token_logprobs + completion.token_logprobs,
            top_logprobs=self.top_logprobs + completion.top_logprobs,
            stop_reason=completion.stop_reason,
            prompt_logprobs=self.prompt_logprobs or completion.prompt_logprobs,
            prompt_token_logprobs=self.prompt_token_logprobs or completion.prompt_token_logprobs,
            prompt_top_logprobs=self.prompt_top_logprobs or completion.prompt_top_logprobs,
            num_cached_tokens=self.num_cached_tokens if self.tokens else completion.num_cached_tokens,
            expert_ids=continued(self.expert_ids, completion.expert_ids),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A response of a job, finished or broken off; `finish` is None for what there is of one that goes on."""

    job: Job
    sample: int
    part: Part
    finish: Finish | None

    @property
    def id(self) -> str:
        """What the response is called: the job's name, with the number of the sample where there are several."""
        return self.job.rid if self.job.request.num_samples == 1 else f"{self.job.rid}_{self.sample}"


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """One prompt.  What becomes of it goes to `outbox`: responses, or the fault that ended all of them.

    Args:
        waiting: the samples that are outstanding.
        drawn: what was drawn of a sample before it was retracted.
        interval: how many more tokens of a response are worth to be told; None where only whole ones are wanted.
        told: how many tokens of a sample the client was told of.
    """

    rid: str
    request: GenerationRequest
    outbox: asyncio.Queue[Finished | SpecError]
    waiting: set[int] = field(default_factory=set)
    drawn: dict[int, Part] = field(default_factory=dict)
    interval: int | None = None
    told: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.waiting.update(range(self.request.num_samples))

    def tell(self, sample: int, part: Part) -> None:
        """Say what there is of a response, if it is its first token or enough that is new, and the client keeps up."""
        told, count = self.told.get(sample, 0), len(part.tokens)
        is_worth_it = self.interval is not None and (count - told >= self.interval or (not told and count > 0))
        if is_worth_it and self.outbox.qsize() < _UNREAD_MAX:
            self.told[sample] = count
            self.outbox.put_nowait(Finished(job=self, sample=sample, part=part, finish=None))


class Call:
    """One generation of the engine and the jobs that it answers.

    Args:
        lockstep: its name, or nothing for a call that advances by itself.  What such a call draws follows from its
            requests alone; others use what was computed for those before them.
    """

    def __init__(self, engine: SteppedEngine, lockstep: str = "") -> None:
        self._engine = engine
        self.lockstep = lockstep
        self._generation = self._begin()
        # For each request to the generation: the job, and which of its samples the first one is.
        self._slots: list[tuple[Job, int]] = []
        self._is_retracted = False
        self.jobs: list[Job] = []

    @property
    def is_over(self) -> bool:
        """Whether no response is outstanding."""
        return not any(job.waiting for job in self.jobs)

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue jobs whose requests can be served."""
        for job in jobs:
            self.jobs.append(job)
            if not self._is_retracted:
                self._submit(job, 0, job.request)

    def forget(self, job: Job) -> None:
        """Take a job off whose responses have all been handed out."""
        self.jobs.remove(job)

    def poll_all(self) -> list[Finished]:
        """Return the responses that are finished now.  Raises: SpecError if the policy's output is no number."""
        found: list[Finished] = []
        while (completion := self._generation.poll()) is not None:
            found.append(self._finished(completion))
        return found

    def tell_so_far(self) -> None:
        """Tell those clients of what there is that want to hear of it."""
        if not any(job.interval for job in self.jobs):
            return
        for completion in self._generation.so_far():
            job, first_sample = self._slots[completion.request]
            sample = first_sample + completion.sample
            job.tell(sample, job.drawn.get(sample, Part()).then(completion))

    def abort(self) -> list[Finished]:
        """Stop all; return what is finished, what was broken off, and last what has drawn no token since."""
        found = [self._finished(c) for c in self._generation.abort()]
        for job in self.jobs:
            for sample in sorted(job.waiting):
                part = job.drawn.get(sample, Part())
                found.append(Finished(job=job, sample=sample, part=part, finish="abort"))
            job.waiting.clear()
        self._slots.clear()
        return found

    def retract(self) -> list[Finished]:
        """Give up the rows and what is cached, and keep the tokens; return what is finished already."""
        ended = self.abort()
        self._is_retracted = True
        for broken in (f for f in ended if f.finish == "abort"):
            broken.job.waiting.add(broken.sample)
            broken.job.drawn[broken.sample] = broken.part
        return [f for f in ended if f.finish != "abort"]

    def restore(self) -> None:
        """Queue again what was retracted, each response where it was broken off."""
        if not self._is_retracted:
            return
        self._is_retracted = False
        self._generation = self._begin()
        for job in self.jobs:
            for sample in sorted(job.waiting):
                self._submit(job, sample, _rest(job, sample))

    def _begin(self) -> SteppedGeneration:
        return self._engine.begin(uses_earlier=not self.lockstep)

    def _submit(self, job: Job, first_sample: int, request: GenerationRequest) -> None:
        self._generation.submit([request])
        self._slots.append((job, first_sample))

    def _finished(self, completion: Completion) -> Finished:
        job, first_sample = self._slots[completion.request]
        sample = first_sample + completion.sample
        job.waiting.remove(sample)
        part = job.drawn.get(sample, Part()).then(completion)
        return Finished(job=job, sample=sample, part=part, finish=completion.finish)


def _rest(job: Job, sample: int) -> GenerationRequest:
    """Return the request for what a response that was broken off still lacks."""
    asked, drawn = job.request, job.drawn.get(sample, Part()).tokens
    return replace(
        asked,
        tokens=asked.tokens + drawn,
        num_samples=1,
        max_new_tokens=asked.max_new_tokens - len(drawn),
        first_sample=asked.first_sample + sample,
        first_draw=asked.first_draw + len(drawn),
        # Those of a prompt are known once it has drawn a token.
        prompt_logprobs_from=None if drawn else asked.prompt_logprobs_from,
    )
