"""The rollout engines: groups share the steps of an engine, and leave it when their longest response is done.

An engine has a clock that counts its decode steps.  A group that enters at step n leaves at n + the tokens of its
longest response; how long a step takes depends on how many sequences there are.  So one entry in a heap stands for a
group, and an engine with a thousand sequences has one event ahead of it and not a thousand.  While it runs, a group
counts as many sequences as it has on average: all its tokens over those of the longest response.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from operator import attrgetter

from compiler.diagnostics.annotations import TypeAlias
from compiler.planner.simulate.pace import Fleet


@dataclass(slots=True)
class Job:
    """A group under way: the version that began it, the tokens of all its responses, and of the longest one."""

    version: int
    tokens: float
    longest: float

    @property
    def load(self) -> float:
        """Sequences that it is on average."""
        return self.tokens / self.longest


# When a group ends and began, in steps of its engine; the serial number keeps groups apart that end together.
_Running: TypeAlias = tuple[float, int, float, Job]


class Engine:
    """One engine; `stamp` changes whenever what it was going to do next is no longer true."""

    __slots__ = ("_steps", "busy_s", "is_up", "load", "now", "number", "running", "slowness", "stamp")

    def __init__(self, number: int, slowness: float) -> None:
        self.running: list[_Running] = []
        self.number, self.slowness, self.is_up = number, slowness, True
        self.load = self.now = self._steps = self.busy_s = 0.0
        self.stamp = 0

    def pass_to(self, now: float, step_s: tuple[float, ...]) -> None:
        """Let it decode until now; prompts that are still being read keep it from that."""
        passed = now - self.now
        if passed <= 0:
            return
        if self.load and self.is_up:
            self._steps += passed / self.seconds_of_a_step(step_s)
            self.busy_s += passed
        self.now = now

    def seconds_of_a_step(self, step_s: tuple[float, ...]) -> float:
        """Return what the next step takes, of as many sequences as there are, rounded up."""
        return step_s[min(len(step_s) - 1, int(self.load + 0.999999))] * self.slowness

    def next_end(self, step_s: tuple[float, ...]) -> float:
        """Return when the first group is done, if nobody else enters."""
        return self.now + max(0.0, self.running[0][0] - self._steps) * self.seconds_of_a_step(step_s)

    def enter(self, job: Job, serial: int, prefill_s: float) -> None:
        """Begin a group now, after its prompt was read, for which all others wait."""
        heappush(self.running, (self._steps + job.longest, serial, self._steps, job))
        self.load += job.load
        self.now += prefill_s
        self.busy_s += prefill_s

    def leave(self) -> Job:
        """Take out the group that is done."""
        job = heappop(self.running)[3]
        self.load = self.load - job.load if self.running else 0.0
        return job

    def lose(self) -> tuple[list[Job], float]:
        """Forget all groups, and return them with the tokens that they had."""
        tokens = sum(min(1.0, (self._steps - began) / job.longest) * job.tokens for _, _, began, job in self.running)
        lost = [job for _, _, _, job in self.running]
        self.running.clear()
        self.load = 0.0
        self.stamp += 1
        return lost, tokens


class Engines:
    """All engines and the queue before them."""

    def __init__(self, fleet: Fleet, slowness: list[float]) -> None:
        self.fleet = fleet
        self.all = [Engine(number, one) for number, one in enumerate(slowness)]
        self.up = list(self.all)
        self.queue: deque[Job] = deque()
        self._serial = 0

    def submit(self, jobs: list[Job], now: float) -> set[int]:
        """Put groups into the queue and let those in for whom there is room; return the engines that took some."""
        self.queue.extend(jobs)
        touched: set[int] = set()
        if len(self.queue) == 1:
            emptiest = min(self.up, key=_load_of, default=None)
            if emptiest is not None and self._lets_in(emptiest, now):
                touched.add(emptiest.number)
            return touched
        loads = [(engine.load, engine.number) for engine in self.up]
        heapify(loads)
        while loads and self.queue:
            engine = self.all[loads[0][1]]
            if not self._lets_in(engine, now):
                break
            heapreplace(loads, (engine.load, engine.number))
            touched.add(engine.number)
        return touched

    def refill(self, engine: Engine, now: float) -> None:
        """Let groups into an engine that has room again."""
        while self._lets_in(engine, now):
            pass

    def drop_all(self) -> float:
        """Forget every group, and return the tokens that were lost."""
        self.queue.clear()
        tokens = 0.0
        for engine in self.up:
            tokens += engine.lose()[1]
        return tokens

    def take_away(self, engine: Engine) -> None:
        """Let an engine be down: nothing enters it."""
        engine.is_up = False
        self.up.remove(engine)

    def bring_back(self, engine: Engine, now: float, slowness: float) -> None:
        """Let an engine be up again, perhaps another machine."""
        engine.now, engine.is_up, engine.slowness = now, True, slowness
        self.up.append(engine)
        self.up.sort(key=attrgetter("number"))

    def _lets_in(self, engine: Engine, now: float) -> bool:
        """Let the next group of the queue into an engine, if there is one and room for it."""
        queue = self.queue
        if not queue or (engine.load and engine.load + queue[0].load > self.fleet.places + 1e-9):
            return False
        engine.pass_to(now, self.fleet.step_s)
        self._serial += 1
        engine.enter(queue.popleft(), self._serial, self.fleet.prefill_s)
        return True


_load_of = attrgetter("load")
