"""Requests under way on a fleet: one generation on each engine, and what is still owed of each request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from compiler.diagnostics.diagnostic import Diagnostic, InternalError, SpecError
from runtime.engines.rollout.fleet_branches import Branch, BusyBranches, Part
from runtime.engines.rollout.fleet_dispatch import Dispatch, Member, is_loss
from runtime.protocols import Completion, GenerationRequest

_LOOK_EVERY_S: Final = 0.1
_WITHDRAWN: Final = -1


class FleetGeneration:
    """A generation on all engines of a fleet.

    Raises: where it is asked for the next response, SpecError of an engine that refuses or fails otherwise than by
    being gone, of the last engine that was lost where a request has been lost too often or no engine comes back, and
    what the fleet was given up for.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._branches: dict[Member, Branch] = {}
        self._busy = BusyBranches()
        self._seen_changes = dispatch.num_changes
        self._requests: list[GenerationRequest] = []
        # Samples that have not arrived, and how often each request was lost.
        self._owed: dict[int, set[int]] = {}
        self._losses: dict[int, int] = {}
        self._unplaced: deque[Part] = deque()
        self._ready: deque[Completion] = deque()
        self._last_number = -1
        self._fault: SpecError | None = None

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Send requests; they are numbered on from those before.

        Raises: SpecError if one cannot be served; then none is.
        """
        first = len(self._requests)
        self._requests += requests
        for idx, request in enumerate(requests, first):
            self._owed[idx] = set(range(request.num_samples))
            self._unplaced.append(Part(idx, 0, request))
        try:
            self._place()
        except SpecError:
            self._withdraw(first)
            raise

    async def next(self) -> Completion | None:
        """Return the next finished response, or None."""
        alone_since: float | None = None
        while not self._ready:
            if self._dispatch.end is not None:
                raise self._dispatch.end
            self._leave_lost()
            self._place()
            if self._busy:
                alone_since = None
                await self._advance()
                continue
            if not any(self._owed.values()):
                return None
            alone_since = time.monotonic() if alone_since is None else alone_since
            if time.monotonic() - alone_since >= self._dispatch.rules.revival_s:
                raise self._fault or InternalError("a fleet was asked to generate without an engine")
            await asyncio.sleep(_LOOK_EVERY_S)
        return self._ready.popleft()

    def abort(self) -> list[Completion]:
        """Stop what is outstanding, and return what there is of it; of an engine that is gone, nothing."""
        found = list(self._ready)
        for branch in sorted(self._branches.values(), key=lambda branch: branch.member.number):
            if branch.num_outstanding and self._dispatch.is_there(branch.member):
                left = [*_fetched(branch), *self._aborted(branch)]
                found += [completion for part in left if (completion := self._taken(branch, part)) is not None]
                self._dispatch.note_end(branch.member, (), num_samples=branch.num_outstanding)
            _drop(branch)
        self._ready.clear()
        self._owed.clear()
        self._unplaced.clear()
        self._branches.clear()
        self._busy.clear()
        return found

    def _withdraw(self, first: int) -> None:
        """Forget requests from a number on; some engines may answer them already, and nobody is told."""
        for idx in range(first, len(self._requests)):
            del self._owed[idx]
        del self._requests[first:]
        self._unplaced = deque(part for part in self._unplaced if part.idx < first)
        for branch in self._branches.values():
            branch.parts = [part if part.idx < first else part._replace(idx=_WITHDRAWN) for part in branch.parts]

    async def _advance(self) -> None:
        """Wait for the next response of the branch whose turn it is, or of any, and take what has come."""
        in_order = self._dispatch.is_repeatable
        found = await self._busy.ready(in_order=in_order, after=self._last_number, patience_s=_LOOK_EVERY_S)
        for branch, task in found:
            self._last_number = branch.member.number
            self._take(branch, task)
            if not branch.num_outstanding:
                self._busy.leave(branch)

    def _take(self, branch: Branch, task: asyncio.Task[Completion | None]) -> None:
        try:
            completion = task.result()
        except SpecError as fault:
            if not is_loss(fault):
                raise
            self._dispatch.lose(branch.member, fault)
            self._fault = fault
            return
        if completion is None:
            raise InternalError(f"engine {branch.member.number} of a fleet forgot what it was asked for")
        found = self._taken(branch, completion)
        if found is not None:
            self._ready.append(found)

    def _taken(self, branch: Branch, completion: Completion) -> Completion | None:
        """Return a response as the caller numbers it, or None for one that was withdrawn."""
        part = branch.parts[completion.request]
        branch.num_outstanding -= 1
        held = (*part.request.tokens, *completion.tokens) if part.request.keeps_prefix else ()
        self._dispatch.note_end(branch.member, held)
        sample = part.first + completion.sample
        if sample not in self._owed.get(part.idx, ()):
            return None
        self._owed[part.idx].discard(sample)
        return replace(completion, request=part.idx, sample=sample)

    def _leave_lost(self) -> None:
        """Have others asked for what is owed by engines that are gone."""
        if self._seen_changes == self._dispatch.num_changes:
            return
        self._seen_changes = self._dispatch.num_changes
        for member, branch in list(self._branches.items()):
            if self._dispatch.is_there(member):
                continue
            del self._branches[member]
            self._busy.leave(branch)
            _drop(branch)
            for idx in sorted({part.idx for part in branch.parts}):
                self._requeue(idx, [part for part in branch.parts if part.idx == idx])

    def _requeue(self, idx: int, parts: Sequence[Part]) -> None:
        asked = {part.first + sample for part in parts for sample in range(part.request.num_samples)}
        owed = sorted(self._owed.get(idx, set[int]()) & asked)
        if not owed:
            return
        self._losses[idx] = self._losses.get(idx, 0) + 1
        if self._losses[idx] > self._dispatch.rules.most_requeues:
            raise self._lost_too_often(idx)
        self._dispatch.num_requeued += 1
        request = self._requests[idx]
        for first, count in _runs(owed):
            part = replace(request, first_sample=request.first_sample + first, num_samples=count)
            self._unplaced.append(Part(idx, first, part))

    def _lost_too_often(self, idx: int) -> SpecError:
        if self._fault is None:
            return SpecError(Diagnostic("RLC0767", f"request {idx} was lost with an engine that others had given up"))
        first, *others = self._fault.diagnostics
        times = f"request {idx} was lost {self._losses[idx]} times, each time with its engine"
        return SpecError(first._replace(message=f"{times}; the last time: {first.message}"), *others)

    def _place(self) -> None:
        """Ask engines for what nobody has been asked for.  Raises: SpecError of one that refuses it."""
        chosen: dict[Member, list[Part]] = {}
        while self._unplaced and (member := self._dispatch.choose(self._unplaced[0].request)) is not None:
            chosen.setdefault(member, []).append(self._unplaced.popleft())
        for member, parts in chosen.items():
            self._send(member, parts)

    def _send(self, member: Member, parts: Sequence[Part]) -> None:
        branch = self._branches.get(member) or self._branches.setdefault(member, Branch(member))
        try:
            branch.generation.submit([part.request for part in parts])
        except SpecError as fault:
            if is_loss(fault):
                # It has taken none of these, so they were not lost with it; what it had taken before is.
                self._dispatch.lose(member, fault)
                self._fault = fault
                self._unplaced.extend(parts)
                return
            self._dispatch.note_end(member, (), num_samples=sum(part.request.num_samples for part in parts))
            raise
        branch.parts += parts
        branch.num_outstanding += sum(part.request.num_samples for part in parts)
        self._busy.enter(branch)

    def _aborted(self, branch: Branch) -> list[Completion]:
        try:
            return branch.generation.abort()
        except SpecError as fault:
            if not is_loss(fault):
                raise
            self._dispatch.lose(branch.member, fault)
            return []


def _fetched(branch: Branch) -> list[Completion]:
    """Return what has come of a branch, and nobody has taken yet."""
    task = branch.task
    if task is None or not task.done() or task.cancelled() or task.exception() is not None:
        return []
    completion = task.result()
    return [] if completion is None else [completion]


def _forget(task: asyncio.Task[Completion | None]) -> None:
    if not task.cancelled():
        task.exception()


def _drop(branch: Branch) -> None:
    """Wait no more for a branch; what it fails with is nobody's any more."""
    if branch.task is not None:
        branch.task.add_done_callback(_forget)
        branch.task.cancel()


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the count of each run of neighbours in ascending numbers."""
    begin = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield numbers[begin], end - begin
            begin = end
