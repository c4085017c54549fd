"""Turns of many episodes, in one generation: those whose environments answer go on while the others wait.

A turn draws from the stream of its own sample, from the position at which the turn before it stopped.  So what is drawn
does not depend on the order in which environments answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from compiler.diagnostics.diagnostic import InternalError, SpecError
from runtime.protocols import Completion, GenerationRequest, RolloutEngine


class _Asked(NamedTuple):
    request: GenerationRequest
    answer: asyncio.Future[Completion]


class Turns:
    """One generation, fed as episodes go on."""

    def __init__(self, engine: RolloutEngine) -> None:
        self._generation = engine.begin()
        self._asked: list[_Asked] = []
        self._waiting: dict[tuple[int, int], asyncio.Future[Completion]] = {}
        self._num_requests = 0
        self._has_work = asyncio.Event()

    async def ask(self, request: GenerationRequest) -> Completion:
        """Return the next turn of one sample, `request.first_sample`.

        First turns of neighbouring samples that are asked for at once share their prompt.
        Raises: SpecError if the engine cannot serve it.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Completion] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._submit)
        self._asked.append(_Asked(request, answer))
        return await answer

    async def serve(self) -> None:
        """Generate what is asked for, until this is cancelled.  Raises: SpecError if the engine fails."""
        while True:
            if not self._waiting:
                self._has_work.clear()
                await self._has_work.wait()
                continue
            completion = await self._generation.next()
            if completion is None:
                raise InternalError("a generation with turns outstanding has ended")
            answer = self._waiting.pop((completion.request, completion.sample))
            if not answer.done():
                answer.set_result(completion)

    def abort(self) -> None:
        """Stop all that is outstanding."""
        self._generation.abort()

    def _submit(self) -> None:
        asked = list(self._asked)
        self._asked.clear()
        for some in _shared(asked):
            first = some[0].request
            try:
                self._generation.submit([replace(first, num_samples=len(some))])
            except SpecError as fault:
                for one in some:
                    if not one.answer.done():
                        one.answer.set_exception(fault)
                continue
            for place, one in enumerate(some):
                self._waiting[self._num_requests, place] = one.answer
            self._num_requests += 1
        self._has_work.set()


def _shared(asked: Sequence[_Asked]) -> list[list[_Asked]]:
    """Return what is asked for as runs of neighbouring samples of one request."""
    ordered = sorted(asked, key=lambda one: (one.request.key.step, one.request.key.group, one.request.first_sample))
    numbered = enumerate(ordered)
    runs = groupby(
        numbered, lambda pair: (replace(pair[1].request, first_sample=0), pair[1].request.first_sample - pair[0])
    )
    return [[one for _, one in some] for _, some in runs]
