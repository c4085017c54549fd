"""A reward that is a function.

How it is called follows from what it is.  An asynchronous one runs in the loop; one of the standard library that
declares an isolation runs in a process of its own; other functions of the standard library are quick and run at once; a
custom one runs in a thread, so that the loop goes on and the timeout holds.  A thread that never returns cannot be
ended: where failures end the run its call is given up, and the thread does not keep the process alive; where the run
goes on after failures, a custom function runs in a process of its own instead, and is ended with it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from runtime.own_coroutine import HeldLoopError, OwnCoroutine
from runtime.rewards.border import ForeignCode, RewardCallError, RewardResultError
from runtime.rewards.failures import JudgementError
from runtime.rewards.functions import LoadedReward, line_label
from runtime.rewards.isolated import JudgeProcess
from runtime.rewards.loops import LoopSlots
from runtime.rewards.numbers import as_groups, as_number, as_numbers
from runtime.rewards.terms import Level
from runtime.rewards.threads import in_thread
from stdlib.rewards._isolation import Isolation
from stdlib.samples import Group, Sample

T = TypeVar("T")

# Judging in processes of their own: a second one keeps the samples flowing while the first is stuck.
MAX_JUDGE_PROCESSES = 2
_OF_CUSTOM_CODE = Isolation(score=0.0, memory_gib=0, imports=())


class FunctionTerm:
    """Calls one function.

    Args:
        slots: bound the calls under way at once, together with those of other terms.
        goes_on: whether the run goes on after a failure.
    """

    def __init__(
        self, loaded: LoadedReward, *, level: Level, timeout_s: float, slots: LoopSlots, goes_on: bool
    ) -> None:
        self.level: Level = level
        self._loaded = loaded
        self._timeout_s = timeout_s
        self._slots = slots
        self._judges = LoopSlots(MAX_JUDGE_PROCESSES)
        self._is_async = inspect.iscoroutinefunction(loaded.call)
        self._isolation = None if self._is_async else loaded.isolation
        if goes_on and loaded.is_custom and not self._is_async and self._isolation is None:
            self._isolation = _OF_CUSTOM_CODE
        self._idle: list[JudgeProcess] = []
        self._processes: list[JudgeProcess] = []
        self._num_unjudged = 0

    async def of_sample(self, sample: Sample) -> float:
        """Return the score of a sample."""
        return await self._called(sample, sample.prompt.source, as_number)

    async def of_group(self, group: Group) -> Sequence[float]:
        """Return the score of every sample of a group."""
        count = len(group.samples)
        return await self._called(group, group.prompt.source, lambda v: as_numbers(v, count=count))

    async def of_batch(self, groups: Sequence[Group]) -> Sequence[Sequence[float]]:
        """Return the scores of all groups of a step."""
        counts = [len(group.samples) for group in groups]
        where = f"a batch of {len(groups)} groups"
        return await self._called(tuple(groups), where, lambda v: as_groups(v, counts=counts))

    def counters(self) -> Mapping[str, int]:
        """Return `unjudged`: responses that got the score that the reward has for those that it cannot judge."""
        return {"unjudged": self._num_unjudged}

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.end()
        self._processes.clear()
        self._idle.clear()

    async def _called(self, argument: Any, where: str, check: Callable[[object], T]) -> T:
        source = self._loaded.source
        try:
            async with self._slots():
                returned = await self._call(argument, where)
                with ForeignCode(source.file):
                    return check(returned)
        except RewardCallError as fault:
            label = line_label(source, fault.line, "raised here")
            raise JudgementError("raised", source.name, f"raised {fault.message}, on {where}", label) from fault
        except RewardResultError as bad:
            raise JudgementError("value", source.name, f"returned {bad}, on {where}") from bad

    async def _call(self, argument: Any, where: str) -> object:
        call, path = self._loaded.call, self._loaded.source.file
        if self._isolation is not None:
            return await self._isolated(argument, self._isolation, where)
        if not self._loaded.is_custom and not self._is_async:
            with ForeignCode(path):
                return call(argument)
        name = self._loaded.source.name
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._is_async:
                    own = _awaited(call, argument, path)
                    return await OwnCoroutine(own, name=name, file=path, timeout_s=self._timeout_s)
                return await in_thread(lambda: _bordered(call, argument, path), name=name)
        except HeldLoopError as held:
            raise JudgementError("late", name, f"{str(held).removeprefix(f'{name} ')}, on {where}") from held
        except TimeoutError as error:
            raise self._late(where) from error

    async def _isolated(self, argument: object, isolation: Isolation, where: str) -> object:
        async with self._judges():
            process = self._idle.pop() if self._idle else await self._start(isolation)
            try:
                answer = await in_thread(lambda: process.judge(argument))
            except asyncio.CancelledError:
                self._processes.remove(process)
                process.kill()
                raise
            except (RewardCallError, RewardResultError):
                self._idle.append(process)
                raise
            if process.is_alive:
                self._idle.append(process)
            else:
                self._processes.remove(process)
        if answer is not None:
            return answer
        if isolation is _OF_CUSTOM_CODE:
            raise self._late(where, or_else=", or its process died")
        self._num_unjudged += 1
        return isolation.score

    async def _start(self, isolation: Isolation) -> JudgeProcess:
        source, timeout_s = self._loaded.source, self._timeout_s
        process = await in_thread(lambda: JudgeProcess(source, isolation, timeout_s=timeout_s, level=self.level))
        self._processes.append(process)
        return process

    def _late(self, where: str, *, or_else: str = "") -> JudgementError:
        words = f"took longer than {self._timeout_s:g} s{or_else}, on {where}"
        return JudgementError("late", self._loaded.source.name, words)


async def _awaited(call: Callable[[Any], Any], argument: object, path: str) -> object:
    with ForeignCode(path):
        return await call(argument)


def _bordered(call: Callable[[Any], Any], argument: object, path: str) -> object:
    with ForeignCode(path):
        return call(argument)
