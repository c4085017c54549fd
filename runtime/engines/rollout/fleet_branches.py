"""What each engine of a fleet was asked for, and the wait for the next of their responses.

A response costs the same however many engines there are: nothing here looks at all of them for one.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from compiler.diagnostics.diagnostic import InternalError
from runtime.engines.rollout.fleet_dispatch import Member
from runtime.protocols import Completion, Generation, GenerationRequest


class Part(NamedTuple):
    """Samples of a request, from `first` on, that one engine was asked for."""

    idx: int
    first: int
    request: GenerationRequest


class Branch:
    """What one engine was asked for."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.generation: Generation = member.engine.begin()
        self.parts: list[Part] = []
        self.num_outstanding = 0
        self.task: asyncio.Task[Completion | None] | None = None


class BusyBranches:
    """Those that have responses outstanding, in the order of their engines; empty until `enter`."""

    def __init__(self) -> None:
        self._busy: list[Branch] = []
        self._unasked: dict[Branch, None] = {}
        self._done: dict[Branch, None] = {}
        self._wake: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._busy)

    def enter(self, branch: Branch) -> None:
        """Wait for a branch as well, if it is not waited for."""
        at = bisect_left(self._busy, branch.member.number, key=_number)
        while at < len(self._busy) and _number(self._busy[at]) == branch.member.number:
            if self._busy[at] is branch:
                return
            at += 1
        self._busy.insert(at, branch)
        if branch.task is None:
            self._unasked[branch] = None

    def leave(self, branch: Branch) -> None:
        """Wait for a branch no more."""
        at = bisect_left(self._busy, branch.member.number, key=_number)
        while at < len(self._busy) and _number(self._busy[at]) == branch.member.number:
            if self._busy[at] is branch:
                del self._busy[at]
                break
            at += 1
        self._unasked.pop(branch, None)
        self._done.pop(branch, None)

    async def ready(
        self, *, in_order: bool, after: int, patience_s: float
    ) -> list[tuple[Branch, asyncio.Task[Completion | None]]]:
        """Return branches whose next response is there, and take it from them; none if none comes in time.

        Args:
            in_order: whether to wait for the one whose turn it is: that of the next engine behind number `after`.
        """
        for branch in self._unasked:
            branch.task = asyncio.create_task(branch.generation.next())
            branch.task.add_done_callback(lambda task, of=branch: self._note(of, task))
        self._unasked.clear()
        if in_order:
            at = bisect_right(self._busy, after, key=_number)
            turn = self._busy[at if at < len(self._busy) else 0]
            # Also where it is there already: all others have begun then, so what an abort finds is the same each time.
            if turn.task is not None:
                await asyncio.wait([turn.task], timeout=patience_s)
            found = [turn] if turn in self._done else []
        else:
            if not self._done:
                self._wake = asyncio.get_running_loop().create_future()
                await asyncio.wait([self._wake], timeout=patience_s)
            found = sorted(self._done, key=_number)
        return [(branch, self._taken(branch)) for branch in found]

    def clear(self) -> None:
        """Wait for none."""
        self._busy.clear()
        self._unasked.clear()
        self._done.clear()

    def _taken(self, branch: Branch) -> asyncio.Task[Completion | None]:
        del self._done[branch]
        self._unasked[branch] = None
        task, branch.task = branch.task, None
        if task is None:
            raise InternalError("a response without a task that waited for it")
        return task

    def _note(self, branch: Branch, task: asyncio.Task[Completion | None]) -> None:
        at = bisect_left(self._busy, branch.member.number, key=_number)
        is_busy = any(b is branch for b in self._busy[at : bisect_right(self._busy, branch.member.number, key=_number)])
        if is_busy and branch.task is task:
            self._done[branch] = None
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)


def _number(branch: Branch) -> int:
    return branch.member.number
