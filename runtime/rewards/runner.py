"""The reward runner: judges responses beside generation.

How a function is called follows from what it is.  An asynchronous one runs in the loop; one of the standard library
that declares an isolation runs in a process of its own; other functions of the standard library are quick and run at
once; a custom one runs in a thread, so that the loop goes on and the timeout holds.  A thread that never returns cannot
be ended: its call is given up, the run fails with RLC0613, and the thread does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Never, TypeVar

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.ir.rollout import Reward
from runtime.rewards.border import ForeignCode, RewardCallError, RewardResultError
from runtime.rewards.functions import line_label, load_reward, locate_reward
from runtime.rewards.isolated import JudgeProcess
from runtime.rewards.numbers import as_groups, as_number, as_numbers
from stdlib.rewards._isolation import Isolation
from stdlib.samples import Group, Sample

T = TypeVar("T")

# Judging in processes of their own: a second one keeps the samples flowing while the first is stuck.
MAX_JUDGE_PROCESSES = 2


class RewardRunner:
    """Fills in the rewards of groups; implements `runtime.protocols.Reward`.

    `num_unjudged` counts the responses that got their score because judging them took too long.
    Raises: SpecError RLC0610 or RLC0611 if the function cannot be loaded or is not the one that was compiled.
    """

    def __init__(self, reward: Reward[Never], *, root: Path) -> None:
        self._reward = reward
        self._loaded = load_reward(locate_reward(reward, root=root))
        self._is_async = inspect.iscoroutinefunction(self._loaded.call)
        self._idle: list[JudgeProcess] = []
        self._processes: list[JudgeProcess] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots, self._judges = asyncio.Semaphore(), asyncio.Semaphore()
        self.num_unjudged = 0

    async def score(self, group: Group) -> Group:
        """Return a group with every sample's reward, at level `sample` or `group`.

        Raises: SpecError RLC0612 if the function raises, RLC0613 if it takes too long, RLC0614 for what it returns.
        """
        if self._reward.level == "sample":
            calls = [self._called(sample, sample.prompt.source, as_number) for sample in group.samples]
            return _scored(group, await _together(calls))
        if self._reward.level == "group":
            count = len(group.samples)
            numbers = await self._called(group, group.prompt.source, lambda v: as_numbers(v, count=count))
            return _scored(group, numbers)
        raise InternalError("a reward of level batch judges all groups at once")

    async def score_batch(self, groups: Sequence[Group]) -> list[Group]:
        """Return all groups of a step with their rewards, by one call at level `batch`.  Raises: as `score`."""
        counts = [len(group.samples) for group in groups]
        where = f"a batch of {len(groups)} groups"
        rows = await self._called(tuple(groups), where, lambda v: as_groups(v, counts=counts))
        return [_scored(group, row) for group, row in zip(groups, rows, strict=True)]

    async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
        """Return all groups of a step with their rewards, in the order of their ids.

        Judging a group begins when it arrives.  The first failure cancels the others and the wait for more groups.
        Raises: as `score`, and whatever `groups` raises.
        """
        if self._reward.level == "batch":
            return await self.score_batch(sorted([group async for group in groups], key=_order))
        tasks: list[asyncio.Task[Group]] = []
        try:
            async with asyncio.TaskGroup() as running:
                async for group in groups:
                    tasks.append(running.create_task(self.score(group)))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        return sorted((task.result() for task in tasks), key=_order)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.end()
        self._processes.clear()
        self._idle.clear()

    async def _called(self, argument: Any, where: str, check: Callable[[object], T]) -> T:
        self._enter_loop()
        try:
            async with self._slots:
                returned = await self._call(argument, where)
                with ForeignCode(self._loaded.source.file):
                    return check(returned)
        except RewardCallError as fault:
            raise self._failed("RLC0612", f"raised {fault.message}, on {where}", fault.line) from fault
        except RewardResultError as bad:
            raise self._failed("RLC0614", f"returned {bad}, on {where}", None) from bad

    async def _call(self, argument: Any, where: str) -> object:
        call, path = self._loaded.call, self._loaded.source.file
        if self._loaded.isolation is not None and isinstance(argument, Sample) and not self._is_async:
            return await self._isolated(argument, self._loaded.isolation)
        if not self._loaded.is_custom and not self._is_async:
            with ForeignCode(path):
                return call(argument)
        timeout_s = self._reward.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                if self._is_async:
                    with ForeignCode(path):
                        return await call(argument)
                return await _in_thread(call, argument, path)
        except TimeoutError as error:
            raise self._failed("RLC0613", f"took longer than {timeout_s:g} s, on {where}", None) from error

    async def _isolated(self, sample: Sample, isolation: Isolation) -> float:
        async with self._judges:
            process = self._idle.pop() if self._idle else await self._start(isolation)
            try:
                score = await _in_thread(process.judge, sample, self._loaded.source.file)
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
        if score is not None:
            return as_number(score)
        self.num_unjudged += 1
        return isolation.score

    async def _start(self, isolation: Isolation) -> JudgeProcess:
        source, timeout_s = self._loaded.source, self._reward.timeout_s
        process = await _in_thread(lambda _: JudgeProcess(source, isolation, timeout_s=timeout_s), None, source.file)
        self._processes.append(process)
        return process

    def _enter_loop(self) -> None:
        # A semaphore belongs to one loop, and an executor may run each step in a loop of its own.
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._slots = asyncio.Semaphore(self._reward.concurrency)
            self._judges = asyncio.Semaphore(min(self._reward.concurrency, MAX_JUDGE_PROCESSES))

    def _failed(self, code: str, words: str, line: int | None) -> SpecError:
        ways = {
            "RLC0612": "a reward returns a number for every response, also for one that it cannot read",
            "RLC0613": "make the function faster, or raise reward.timeout_s; a run may resume with another timeout",
            "RLC0614": "return a finite float for a sample, a list of them for a group, a list of lists for a batch",
        }
        return SpecError(
            Diagnostic(
                code=code,
                message=f"reward {self._reward.name} {words}",
                labels=line_label(self._loaded.source, line, "raised here"),
                help=(Help(ways[code]),),
                paths=("reward.timeout_s",) if code == "RLC0613" else ("reward.name",),
            )
        )


async def _together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        async with asyncio.TaskGroup() as running:
            tasks = [running.create_task(call) for call in calls]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    return [task.result() for task in tasks]


async def _in_thread(call: Callable[[Any], T], argument: object, path: str) -> T:
    """Return what a call returns in a thread that nobody waits for at the end of the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def deliver(set_outcome: Callable[[Any], None], outcome: object) -> None:
        if not answer.done():
            set_outcome(outcome)

    def run() -> None:
        set_outcome: Callable[[Any], None] = answer.set_result
        try:
            with ForeignCode(path):
                outcome: object = call(argument)
        except (RewardCallError, RewardResultError) as error:
            set_outcome, outcome = answer.set_exception, error
        # The loop is closed if the run ended while this call was given up.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, set_outcome, outcome)

    threading.Thread(target=run, name="reward", daemon=True).start()
    return await answer


def _scored(group: Group, rewards: Sequence[float]) -> Group:
    pairs = zip(group.samples, rewards, strict=True)
    return replace(group, samples=tuple(replace(sample, reward=number) for sample, number in pairs))


def _order(group: Group) -> tuple[int, int, int]:
    first = group.samples[0].id
    return first.stage, first.step, first.group
