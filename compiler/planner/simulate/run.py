"""A stage in simulated time: what the schedule says is due begins, and ends when its seconds are over.

The order of all actions is that of compiler.ir.schedules, which the runtime follows too; here is only how long they
take, and what fails meanwhile.  Every draw derives from one seed, by streams of their own: another failure rate changes
no length of a response.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from random import Random

from compiler.diagnostics.annotations import TypeAlias
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Action, Begin, Cohort, End, Order, Send, Train
from compiler.planner.simulate.draws import draw_group, slowest
from compiler.planner.simulate.engines import Engines, Job
from compiler.planner.simulate.outcome import Outcome, quantiles
from compiler.planner.simulate.pace import NONE, Pace, Troubles
from compiler.planner.simulate.pipeline import slow_stage_frac
from compiler.planner.simulate.servers import Servers, longest_of, slowest_episode

Observer: TypeAlias = Callable[[float, Action], None]
_HOUR_S = 3600.0


def simulate(
    order: Order, pace: Pace, troubles: Troubles = NONE, *, seed: int = 0, observe: Observer | None = None
) -> Outcome:
    """Return what happens until every batch has been trained on.

    Args:
        observe: is told of every action when it begins, with the seconds since the start.
    """
    run = _Run(order, pace, troubles, seed)
    if observe is not None:
        run.observe = observe
    run.to_the_end()
    return run.outcome()


class _Tally:
    """What is added up on the way."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.staleness: Counter[int] = Counter()
        self.busy_s = self.down_gpu_s = self.lost_train_s = 0.0
        self.kept_tokens = self.lost_tokens = self.left_out_tokens = 0.0
        self.lost_steps = self.engine_failures = self.trainer_failures = 0


class _Run:
    """A stage under way.

    `life` counts the trainers: what an earlier one had begun does not end any more.
    """

    def __init__(self, order: Order, pace: Pace, troubles: Troubles, seed: int) -> None:
        self.order, self.pace, self.troubles = order, pace, troubles
        self.observe: Observer = _nobody
        self.lengths, self.speeds, self.chances, self.judges, self.answers = (
            Random(f"{seed} {name}") for name in ("lengths", "speeds", "chances", "judges", "answers")
        )
        self.engines = Engines(pace.fleet, [self._slowness() for _ in range(pace.fleet.engines)])
        self.servers, self.worlds = Servers(pace.judging.servers), Servers(pace.turns.servers)
        self.readers = Servers(max(1, pace.fleet.readers))
        pipeline = pace.training.pipeline
        # A slow machine stretches what it computes, and not what the others wait for one another anyway.
        self.stretched = 1.0 if pipeline is None else slow_stage_frac(pipeline)
        self.loop = schedule.resumed(order, 0)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = 0
        self.now, self.life, self.saved_step, self.is_trainer_up = 0.0, 0, 0, True
        self.working_since: float | None = None
        self.waits_until = 0.0
        self.waiting: defaultdict[int, deque[float]] = defaultdict(deque)
        self.unsaved_tokens = self.unsaved_train_s = 0.0
        self.tally = _Tally()

    def to_the_end(self) -> None:
        """Let events happen in the order of their times until the schedule says that it is over."""
        if self.troubles.gpu_hours_per_failure > 0:
            self._await_failure()
        while not self._begin_what_is_due():
            settled = self.loop
            while self.loop is settled:
                if not self.events:
                    raise InternalError(f"the schedule waits for nothing: {self.loop}")
                self.now, _, happen = heappop(self.events)
                happen()

    def outcome(self) -> Outcome:
        """Return what was found."""
        tally, pace, engines = self.tally, self.pace, self.engines.all
        busy_s = sum(engine.busy_s for engine in engines)
        all_tokens = tally.kept_tokens + tally.lost_tokens + tally.left_out_tokens
        lost_gpu_s = tally.down_gpu_s + tally.lost_train_s * pace.training.gpus
        if all_tokens:
            lost_gpu_s += busy_s * pace.fleet.gpus_per_engine * tally.lost_tokens / all_tokens
        return Outcome(
            steps=self.loop.trained,
            seconds=self.now,
            step_s=quantiles([end - start for start, end in zip([0.0, *tally.ends], tally.ends, strict=False)]),
            staleness=dict(sorted(tally.staleness.items())),
            trainer_idle_frac=1 - tally.busy_s / self.now,
            rollout_idle_frac=1 - busy_s / (self.now * len(engines)),
            trainer_failures=tally.trainer_failures,
            engine_failures=tally.engine_failures,
            lost_steps=tally.lost_steps,
            lost_tokens=tally.lost_tokens,
            left_out_tokens=tally.left_out_tokens,
            tokens=tally.kept_tokens,
            queue_s=self.servers.waited_s / max(1, self.servers.served),
            gpus=pace.gpus,
            gpu_hours=pace.gpus * self.now / _HOUR_S,
            lost_gpu_hours=lost_gpu_s / _HOUR_S,
        )

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self.serial += 1
        heappush(self.events, (self.now + seconds, self.serial, happen))

    def _begin_what_is_due(self) -> bool:
        """Begin all that may, and return whether the stage is over."""
        while True:
            for action in schedule.due(self.loop):
                if isinstance(action, End):
                    self.observe(self.now, action)
                    return True
                if isinstance(action, Begin) or self.is_trainer_up:
                    self.observe(self.now, action)
                    self.loop = schedule.started(self.loop, action)
                    self._begin(action)
                    break
            else:
                return False

    def _begin(self, action: Action) -> None:
        training = self.pace.training
        if isinstance(action, Begin):
            size, table, random = self.pace.samples_per_group, self.pace.lengths, self.lengths
            jobs = [Job(action.version, *draw_group(table, size, random)) for _ in range(action.groups)]
            if not self.pace.fleet.readers:
                self._look_ahead(self.engines.submit(jobs, self.now))
            for job in jobs if self.pace.fleet.readers else ():
                seconds = self.readers.serve(self.now, self.pace.fleet.read_s) - self.now
                self._later(seconds, partial(self._prompt_is_read, job, self.life))
            return
        seconds, limit_s = training.sync_s, self.troubles.limits.weight_sync_s
        if isinstance(action, Train):
            limit_s = self.troubles.limits.train_step_s
            slow = slowest(training.nodes, self.troubles.spread, self.speeds)
            seconds = training.seconds * (1 + self.stretched * (slow - 1))
            if self._is_saved_after(action.step + 1):
                seconds += training.checkpoint_s
                limit_s += self.troubles.limits.checkpoint_s
            for version, groups in action.taken:
                waiting = self.waiting[version]
                self.unsaved_tokens += sum(waiting.popleft() for _ in range(groups))
            for age, groups in schedule.staleness(action):
                self.tally.staleness[age] += groups
        self.working_since, self.waits_until = self.now, self.now + limit_s
        if seconds > limit_s:
            self._later(limit_s, partial(self._is_given_up, self.life))
        else:
            self._later(seconds, partial(self._trainer_ends, action, self.life))

    def _prompt_is_read(self, job: Job, life: int) -> None:
        if life == self.life:
            self._look_ahead(self.engines.submit([job], self.now))

    def _trainer_ends(self, action: Action, life: int) -> None:
        if life != self.life or self.working_since is None:
            return
        seconds = self.now - self.working_since
        self.working_since = None
        self.tally.busy_s += seconds
        self.loop = schedule.ended(self.loop, action)
        if isinstance(action, Send):
            return
        self.tally.ends.append(self.now)
        self.unsaved_train_s += seconds
        if self._is_saved_after(self.loop.trained):
            self.tally.kept_tokens += self.unsaved_tokens
            self.saved_step, self.unsaved_tokens, self.unsaved_train_s = self.loop.trained, 0.0, 0.0

    def _is_saved_after(self, step: int) -> bool:
        interval = self.pace.training.checkpoint_interval
        return step >= self.order.max_steps or (interval > 0 and step % interval == 0)

    def _look_ahead(self, touched: Iterable[int]) -> None:
        """Plan the next end of a group in engines in which something has changed."""
        step_s = self.pace.fleet.step_s
        for at in touched:
            engine = self.engines.all[at]
            engine.stamp += 1
            if engine.running:
                self._later(engine.next_end(step_s) - self.now, partial(self._group_ends, at, engine.stamp))

    def _group_ends(self, at: int, stamp: int) -> None:
        engine = self.engines.all[at]
        if engine.stamp != stamp:
            return
        engine.pass_to(self.now, self.pace.fleet.step_s)
        job = engine.leave()
        self.engines.refill(engine, self.now)
        self._look_ahead((at,))
        turns = self.pace.turns
        if turns.waits > 0 and turns.mean_s > 0:
            seconds = slowest_episode(turns.episodes, turns.waits, turns.mean_s, self.answers)
            self._later(self.worlds.serve(self.now, seconds) - self.now, partial(self._episodes_end, job, self.life))
        else:
            self._episodes_end(job, self.life)

    def _episodes_end(self, job: Job, life: int) -> None:
        if life != self.life:
            return
        judging = self.pace.judging
        if judging.mean_s > 0:
            seconds = longest_of(judging.calls, judging.mean_s, self.judges)
            self._later(self.servers.serve(self.now, seconds) - self.now, partial(self._judged, job, self.life))
        else:
            self._judged(job, self.life)

    def _judged(self, job: Job, life: int) -> None:
        if life != self.life:
            return
        leaves_out = self.pace.left_out_frac > 0 and self.chances.random() < self.pace.left_out_frac
        self.loop = schedule.sampled(self.loop, Cohort(job.version, 1), left_out=int(leaves_out))
        if leaves_out:
            self.tally.left_out_tokens += job.tokens
        else:
            self.waiting[job.version].append(job.tokens)

    def _await_failure(self) -> None:
        per_second = self.pace.failing_gpus / self.troubles.gpu_hours_per_failure / _HOUR_S
        self._later(self.chances.expovariate(per_second), self._fail)

    def _fail(self) -> None:
        """Let one GPU fail; what hangs is noticed when its time limit is over."""
        pace, troubles, chances = self.pace, self.troubles, self.chances
        hangs = chances.random() < troubles.hang_frac
        gpu = int(chances.random() * pace.failing_gpus)
        if pace.is_shared or gpu < pace.training.gpus:
            self._trainer_fails(self._unnoticed_s() if hangs else 0.0)
        else:
            at = (gpu - pace.training.gpus) // pace.fleet.gpus_per_engine
            self._engine_fails(at, troubles.limits.generation_s if hangs else 0.0)
        self._await_failure()

    def _unnoticed_s(self) -> float:
        """Seconds until somebody notices that the trainer hangs: until the limit of what it does, or does next."""
        return self.troubles.limits.train_step_s if self.working_since is None else self.waits_until - self.now

    def _is_given_up(self, life: int) -> None:
        """End what takes longer than its limit, as if it hung."""
        if life == self.life:
            self._trainer_fails(0.0)

    def _restart_s(self, seconds: float) -> float:
        """Seconds until a process is there again; a restart that hangs ends at its limit, and the next one begins."""
        attempts = 0
        while self.chances.random() < min(0.99, self.troubles.hang_frac):
            attempts += 1
        return seconds + attempts * self.troubles.limits.restart_s

    def _engine_fails(self, at: int, unnoticed_s: float) -> None:
        """Groups of one engine are lost and begin again, elsewhere as long as it is away."""
        engine = self.engines.all[at]
        if not engine.is_up:
            return
        restart_s = self._restart_s(self.troubles.engine_restart_s)
        engine.pass_to(self.now, self.pace.fleet.step_s)
        lost, tokens = engine.lose()
        self.engines.take_away(engine)
        self.tally.engine_failures += 1
        self.tally.lost_tokens += tokens
        self.tally.down_gpu_s += self.pace.fleet.gpus_per_engine * (unnoticed_s + restart_s)
        self._later(unnoticed_s, partial(self._groups_are_lost, lost, self.life))
        self._later(unnoticed_s + restart_s, partial(self._engine_is_back, at))

    def _groups_are_lost(self, lost: list[Job], life: int) -> None:
        for version, groups in Counter(job.version for job in lost).items() if life == self.life else ():
            self.loop = schedule.sampled(self.loop, Cohort(version, groups), left_out=groups)

    def _engine_is_back(self, at: int) -> None:
        engine = self.engines.all[at]
        self.engines.bring_back(engine, self.now, self._slowness())
        self.engines.refill(engine, self.now)
        self._look_ahead((at,))

    def _trainer_fails(self, unnoticed_s: float) -> None:
        """Everything since the last checkpoint is lost, and what was sampled for later steps with it."""
        if not self.is_trainer_up:
            return
        tally, away_s = self.tally, unnoticed_s + self._restart_s(self.troubles.trainer_restart_s)
        worked_s = 0.0 if self.working_since is None else self.now - self.working_since
        for engine in self.engines.all:
            engine.pass_to(self.now, self.pace.fleet.step_s)
        waiting = sum(sum(tokens) for tokens in self.waiting.values())
        tally.lost_tokens += self.engines.drop_all() + self.unsaved_tokens + waiting
        tally.lost_train_s += self.unsaved_train_s + worked_s
        tally.busy_s += worked_s
        tally.lost_steps += self.loop.trained - self.saved_step
        tally.trainer_failures += 1
        tally.down_gpu_s += self.pace.training.gpus * away_s
        self.waiting.clear()
        self.unsaved_tokens = self.unsaved_train_s = 0.0
        self.working_since, self.is_trainer_up = None, False
        self.life += 1
        self.loop = schedule.resumed(self.order, self.saved_step)  # in which the engines hold nothing: none may begin
        self._later(away_s, self._trainer_is_back)

    def _trainer_is_back(self) -> None:
        self.is_trainer_up = True
        self.loop = schedule.resumed(self.order, self.saved_step)

    def _slowness(self) -> float:
        return slowest(1, self.troubles.spread, self.speeds)


def _nobody(seconds: float, action: Action) -> None:
    """Tell nobody."""
