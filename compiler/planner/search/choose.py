"""The fastest layout that fits, with those that come next and those that were turned down.

A step is the time of training and the time of sampling, so the two sides are searched apart and their pairs in the
order of their sums, as long as a pair can still be among the best.  Memory is asked last, from the fastest candidate
on: what it turns down is what an answer to "why not that one" shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Stage
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.phases import StageJob
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding
from compiler.planner.search.applied import refusal
from compiler.planner.search.clock import (
    NOT_WAITED,
    SideSeconds,
    least_seconds,
    least_side_seconds,
    rollout_seconds,
    side_seconds,
)
from compiler.planner.search.judge import (
    Fullness,
    fullness,
    held,
    holds_states,
    sampled,
    samples_within,
    trained,
    trains_within,
)
from compiler.planner.search.problem import Candidate, Problem, Way, generating_engines, is_banned, is_cut_by_samples
from compiler.planner.search.space import (
    Side,
    engines,
    groups_of_layers,
    layouts,
    levels,
    recomputations,
    shardings,
    sides,
)
from compiler.planner.time.step import StepJob

RUNNERS_UP = 5
_TURNED_DOWN = 5
_NEAREST = 64


class Timed(NamedTuple):
    """A candidate with its seconds: of training, of sampling, of what both stop for, and of the step that they make."""

    candidate: Candidate
    train_s: float
    rollout_s: float
    both_s: float
    step_s: float


class TurnedDown(NamedTuple):
    """A candidate that does not fit, and where it is fullest."""

    timed: Timed
    fullest: Fullness


class Excluded(NamedTuple):
    """The fastest candidate that fits and that a requirement excludes, and the reason that it gives."""

    timed: Timed
    why: str


class Choice(NamedTuple):
    """What a search found.

    Args:
        best: the fastest that fits, None where nothing does.
        runners_up: the fastest that fit with other axes, or other sides.
        turned_down: faster ones that do not fit.
        nearest: what is least over, where nothing fits.
        num_legal: legal ways to lay training out that were looked at.
        is_strict: whether training was judged by the longest samples that there may be.
        headroom_frac: of a GPU that what was found leaves free.
        excludes: whether a requirement excludes something that would fit.
        excluded: where nothing else is left, the fastest that is excluded.
    """

    best: Timed | None
    runners_up: tuple[Timed, ...]
    turned_down: tuple[TurnedDown, ...]
    nearest: TurnedDown | None
    num_legal: int
    is_strict: bool
    headroom_frac: float
    excludes: bool = False
    excluded: Excluded | None = None


class _Trainer(NamedTuple):
    """One way to train: of a layout, what is computed again and the size of a micro-batch, by their indices.

    `least_s` is what a step takes at least beside the fastest engines, the order in which ways are looked at; a level
    of -1 stands for all of them, and all groups of layers.
    """

    least_s: float
    order: int
    layout: Layout
    again: int
    level: int
    trains: SideSeconds
    sharding: Sharding | None = None


class _Sampler(NamedTuple):
    seconds: float
    each: int
    way: Way


def choose(problem: Problem, *, names_nearest: bool = True) -> Choice:
    """Return the fastest layout that fits and leaves some of each GPU free, or, where none does, that fits at all.

    Where nothing bounds how long samples are, that is one for the longest that the model can read, or, where none is,
    one that fits but for training on those: only the data says how long its rows are.

    Args:
        names_nearest: whether to look for what is least over where nothing fits.
    """
    found = _found(problem)
    for is_strict, headroom_frac in _less_strict(problem):
        if found.best is None:
            problem = problem._replace(is_strict=is_strict, headroom_frac=headroom_frac)
            found = _found(problem)
    if found.best is None and found.excludes:
        free = _found(problem._replace(heeds_requirements=False)).best
        if free is not None:
            return found._replace(excluded=Excluded(free, refusal(problem, free.candidate)))
    return found._replace(nearest=_nearest(problem)) if found.best is None and names_nearest else found


def _less_strict(problem: Problem) -> Iterator[tuple[bool, float]]:
    has_unbounded = problem.is_strict and any(not facts.is_bounded for facts in problem.stages)
    for is_strict in (problem.is_strict, False) if has_unbounded else (problem.is_strict,):
        for headroom_frac in (problem.headroom_frac, 0.0) if problem.headroom_frac else (0.0,):
            if (is_strict, headroom_frac) != (problem.is_strict, problem.headroom_frac):
                yield is_strict, headroom_frac


def _found(problem: Problem) -> Choice:
    table = _Table()
    for side in sides(problem):
        samplers = sorted(_samplers(problem, side))
        if samplers and not _is_hopeless(problem, side, samplers[0], table):
            _match(problem, side, samplers, table)
    best, *others = table.kept or [None]
    down = [one for one in table.refused if best is None or one.timed.step_s < best.step_s]
    return Choice(
        best,
        tuple(one for one in others if one),
        tuple(down),
        None,
        table.num_legal,
        problem.is_strict,
        problem.headroom_frac,
        table.excludes,
    )


def described(one: Timed) -> str:
    """Return a candidate in a few words."""
    candidate, layout = one.candidate, one.candidate.layout
    axes = ", ".join(f"{axis} {getattr(layout, axis)}" for axis in ("tp", "pp", "cp", "ep", "dp"))
    sides = candidate.mode
    if sides == "split":
        sides = f"{candidate.train_gpus:,} GPUs train and {candidate.rollout_gpus:,} generate"
    return f"{axes}, {sides}, engines of {candidate.gpus_per_engine:,}: {one.step_s:,.2f} s a step"


def timed(problem: Problem, candidate: Candidate) -> Timed:
    """Return the times of one candidate, whether it fits or not."""
    trains = _train_s(problem, candidate)
    side = (candidate.mode, candidate.train_gpus, candidate.rollout_gpus)
    rollout_s = _rollout_s(problem, side, candidate.gpus_per_engine, candidate.way, trains)
    return Timed(candidate, trains.train_s, rollout_s, trains.both_s, _step_s(problem, trains, rollout_s))


class _Table:
    """The best candidates so far, one of each shape."""

    def __init__(self) -> None:
        self.kept: list[Timed] = []
        self.refused: list[TurnedDown] = []
        self.num_legal = 0
        self.excludes = False

    @property
    def bound(self) -> float:
        """What a candidate has to be faster than."""
        return self.kept[-1].step_s if len(self.kept) > RUNNERS_UP else float("inf")

    def bound_of(self, shape: object) -> float:
        """What a candidate of a shape has to be faster than."""
        own = next((one.step_s for one in self.kept if _shape(one.candidate) == shape), float("inf"))
        return min(own, self.bound)

    def keep(self, one: Timed) -> None:
        """Keep a candidate that fits."""
        shape = _shape(one.candidate)
        others = [other for other in self.kept if _shape(other.candidate) != shape]
        self.kept = sorted((*others, one), key=lambda kept: kept.step_s)[: RUNNERS_UP + 1]

    def refuse(self, problem: Problem, one: Timed) -> None:
        """Remember the fastest candidates that do not fit."""
        if len(self.refused) < _TURNED_DOWN or one.step_s < self.refused[-1].timed.step_s:
            self.refused.append(TurnedDown(one, fullness(problem, one.candidate)))
            self.refused.sort(key=lambda down: down.timed.step_s)
            del self.refused[_TURNED_DOWN:]


def _shape(candidate: Candidate) -> tuple[object, ...]:
    layout = candidate.layout
    axes = (layout.tp, layout.pp, layout.cp, layout.ep, layout.etp)
    return (candidate.mode, candidate.train_gpus, candidate.gpus_per_engine, candidate.way, *axes)


def _step_s(problem: Problem, trains: SideSeconds, rollout_s: float) -> float:
    """One side after the other, or both at once, and what both wait for."""
    sides_s = max(trains.train_s, rollout_s) if problem.is_async else trains.train_s + rollout_s
    return sides_s + trains.both_s


def _is_hopeless(problem: Problem, side: Side, fastest: _Sampler, table: _Table) -> bool:
    """Whether GPUs that only multiply would be too slow beside the fastest engines."""
    least = sum(facts.steps * least_seconds(facts.step, side[1]) for facts in problem.stages)
    return _step_s(problem, SideSeconds(least, 0.0), fastest.seconds) >= table.bound


def _samplers(problem: Problem, side: Side) -> Iterator[_Sampler]:
    for each, way in engines(problem, side[2]):
        if samples_within(problem, side[0], each, side[2], way):
            yield _Sampler(_rollout_s(problem, side, each, way), each, way)


def _match(problem: Problem, side: Side, samplers: list[_Sampler], table: _Table) -> None:
    """Go through ways to train, the fastest first, each with the fastest engines that fit beside it.

    Axes come in the order of what they take at least, and are only then cut into micro-batches and groups of layers.
    What is computed again only costs time, so a way to train is looked at with less of it first.
    """
    variants = recomputations(problem)
    waiting = list(_axes(problem, side, samplers[0], table))
    heapify(waiting)
    order = len(waiting)
    while waiting:
        one = heappop(waiting)
        if one.least_s >= table.bound:
            return
        cut: list[_Trainer] = []
        if one.level < 0:
            cut = list(_cut(problem, side, one.layout, samplers[0], table))
        elif trains_within(problem, one.layout, variants[one.again], one.level, side[0], one.sharding):
            if _seat(problem, side, one, variants[one.again], samplers, table):
                continue
        else:
            table.refuse(problem, _timed(problem, side, one, samplers[0], variants[one.again]))
        if one.level >= 0 and one.again + 1 < len(variants):
            more = _candidate(side, one, samplers[0], variants[one.again + 1])
            cut.append(one._replace(again=one.again + 1, trains=_train_s(problem, more)))
        for way in cut:
            heappush(waiting, way._replace(least_s=_step_s(problem, way.trains, samplers[0].seconds), order=order))
            order += 1


def _seat(
    problem: Problem,
    side: Side,
    one: _Trainer,
    again: Recompute | None,
    samplers: list[_Sampler],
    table: _Table,
) -> bool:
    """Keep the fastest engines that fit beside a way to train; return whether it was the fastest of all."""
    for index, sampler in enumerate(samplers):
        found = _timed(problem, side, one, sampler, again)
        if found.step_s >= table.bound_of(_shape(found.candidate)):
            continue
        full = fullness(problem, found.candidate)
        if full.over <= 0 and refusal(problem, found.candidate):
            table.excludes = True
        elif full.over <= 0:
            table.keep(found)
            return index == 0
        else:
            table.refuse(problem, found)
    return False


def _axes(problem: Problem, side: Side, fastest: _Sampler, table: _Table) -> Iterator[_Trainer]:
    """Legal axes whose weights, gradients and optimizer state fit, with what they take at least."""
    for order, one in enumerate(layouts(problem, side[1])):
        table.num_legal += 1
        if holds_states(problem, one):
            groups = list(groups_of_layers(problem, one))[-1:]
            for layout in (one._replace(vpp=vpp) for vpp in groups):
                most = levels(problem, layout) - 1
                again = recomputations(problem)[0]
                candidate = Candidate(*side, fastest.each, layout, again, most, fastest.way)
                trains = _train_s(problem, candidate, seconds=least_side_seconds)
                yield _Trainer(_step_s(problem, trains, fastest.seconds), order, layout, 0, -1, trains)


def _cut(problem: Problem, side: Side, axes: Layout, fastest: _Sampler, table: _Table) -> Iterator[_Trainer]:
    """Ways to cut training on some axes into micro-batches and groups of layers, if the leanest of them fits."""
    variants = recomputations(problem)
    first, leanest = variants[0], variants[-1]
    for vpp in groups_of_layers(problem, axes):
        layout = axes._replace(vpp=vpp)
        for sharding in shardings(problem, layout):
            candidate = Candidate(*side, fastest.each, layout, leanest, 0, fastest.way, sharding)
            if is_banned(problem, candidate):
                continue
            if not trains_within(problem, layout, leanest, 0, side[0], sharding):
                table.refuse(problem, timed(problem, candidate))
                continue
            if refusal(problem, candidate, is_whole=False):
                table.excludes = True
                continue
            for level in range(levels(problem, layout)):
                trains = _train_s(problem, candidate._replace(recompute=first, level=level))
                yield _Trainer(0.0, 0, layout, 0, level, trains, sharding)


def _timed(problem: Problem, side: Side, one: _Trainer, sampler: _Sampler, again: Recompute | None) -> Timed:
    candidate = _candidate(side, one, sampler, again)
    rollout_s = sampler.seconds
    if problem.is_async and any(facts.step.sampling and facts.step.sampling.lag for facts in problem.stages):
        rollout_s = _rollout_s(problem, side, sampler.each, sampler.way, one.trains)
    step_s = _step_s(problem, one.trains, rollout_s)
    return Timed(candidate, one.trains.train_s, rollout_s, one.trains.both_s, step_s)


def _candidate(side: Side, one: _Trainer, sampler: _Sampler, again: Recompute | None) -> Candidate:
    return Candidate(*side, sampler.each, one.layout, again, one.level, sampler.way, one.sharding)


def _train_s(
    problem: Problem,
    one: Candidate,
    *,
    seconds: Callable[[StepJob, Stage[Any], StageJob, float | None], SideSeconds] = side_seconds,
) -> SideSeconds:
    """The mean over the stages, each by its steps."""
    own = both = 0.0
    for index, facts in enumerate(problem.stages):
        held = trained(problem, facts, one.layout, one.recompute, one.level, one.sharding)
        held = held._replace(is_shared=one.mode == "colocate")
        budget = None if is_cut_by_samples(problem, index) else held.job.tokens.count
        found = seconds(facts.step, facts.stage, held, budget)
        own += facts.steps * found.train_s
        both += facts.steps * found.both_s
    return SideSeconds(own, both)


def _rollout_s(problem: Problem, side: Side, each: int, way: Way, beside: SideSeconds = NOT_WAITED) -> float:
    """The mean over the stages, each by its steps: what sampling takes at least, or beside such a training."""
    (mode, _, gpus), seconds = side, 0.0
    count = generating_engines(problem, gpus, each)
    for facts in problem.stages:
        base = facts.job._replace(is_shared=mode == "colocate")
        held = sampled(problem, base, facts, each=each, gpus=gpus, way=way)
        seconds += facts.steps * rollout_seconds(facts.step, held, count, beside)
    return seconds


def _nearest(problem: Problem) -> TurnedDown | None:
    """What is least over: of each of the leanest layouts, with everything computed again and the least micro-batch."""
    again = recomputations(problem)[-1]
    found: list[tuple[float, int, Candidate]] = []
    for side in sides(problem):
        sizes = list(engines(problem, side[2]))
        largest = sorted({each for each, _ in sizes})[-2:]
        for one in layouts(problem, side[1]):
            for vpp in list(groups_of_layers(problem, one))[:1]:
                layout = one._replace(vpp=vpp)
                candidates = [Candidate(*side, each, layout, again, 0, way) for each, way in sizes if each in largest]
                found.extend((held(problem, layout), len(found), candidate) for candidate in candidates)
    lean = [candidate for _, _, candidate in sorted(found)[:_NEAREST] if not is_banned(problem, candidate)]
    full = [(fullness(problem, candidate), candidate) for candidate in lean]
    least = min(full, key=lambda one: one[0].over, default=None)
    return None if least is None else TurnedDown(timed(problem, least[1]), least[0])
