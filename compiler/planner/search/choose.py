"""The fastest layout that fits, with those that come next and those that were turned down.

A step is the time of training and the time of sampling, so the two sides are searched apart and their pairs in the
order of their sums, as long as a pair can still be among the best.  Memory is asked last, from the fastest candidate
on: what it turns down is what an answer to "why not that one" shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.pipeline import Layout
from compiler.planner.search.clock import least_seconds, sampling_seconds, training_seconds
from compiler.planner.search.judge import Fullness, fullness, held, holds_states, sampled, trained, trains_within
from compiler.planner.search.problem import Candidate, Problem, is_banned
from compiler.planner.search.space import Side, engines, groups_of_layers, layouts, levels, recomputations, sides

RUNNERS_UP = 5
_TURNED_DOWN = 5
_NEAREST = 64


class Timed(NamedTuple):
    """A candidate with its seconds: of training, of sampling, and of the step that they make."""

    candidate: Candidate
    train_s: float
    rollout_s: float
    step_s: float


class TurnedDown(NamedTuple):
    """A candidate that does not fit, and where it is fullest."""

    timed: Timed
    fullest: Fullness


class Choice(NamedTuple):
    """What a search found.

    Args:
        best: the fastest that fits, None where nothing does.
        runners_up: the fastest that fit with other axes, or other sides.
        turned_down: faster ones that do not fit.
        nearest: what is least over, where nothing fits.
        num_legal: legal ways to lay training out that were looked at.
        is_strict: whether training was judged by the longest samples that there may be.
    """

    best: Timed | None
    runners_up: tuple[Timed, ...]
    turned_down: tuple[TurnedDown, ...]
    nearest: TurnedDown | None
    num_legal: int
    is_strict: bool


class _Trainer(NamedTuple):
    """One way to train: of a layout, what is computed again and the size of a micro-batch, by their indices."""

    seconds: float
    order: int
    layout: Layout
    again: int
    level: int


class _Sampler(NamedTuple):
    seconds: float
    each: int


def choose(problem: Problem) -> Choice:
    """Return the fastest layout that fits.

    Where nothing bounds how long samples are, that is one for the longest that the model can read, or, where none is,
    one that fits but for training on those: only the data says how long its rows are.
    """
    found = _found(problem)
    if found.best is None and any(not facts.is_bounded for facts in problem.stages):
        return _found(problem._replace(is_strict=False))
    return found


def _found(problem: Problem) -> Choice:
    table = _Table()
    for side in sides(problem):
        samplers = [] if _is_hopeless(problem, side, table) else sorted(_samplers(problem, side))
        if samplers:
            _match(problem, side, samplers, table)
    best, *others = table.kept or [None]
    nearest = _nearest(problem) if best is None else None
    down = [one for one in table.refused if best is None or one.timed.step_s < best.step_s]
    down.sort(key=lambda one: one.timed.step_s)
    return Choice(
        best,
        tuple(one for one in others if one),
        tuple(down[:_TURNED_DOWN]),
        nearest,
        table.num_legal,
        problem.is_strict,
    )


def timed(problem: Problem, candidate: Candidate) -> Timed:
    """Return the times of one candidate, whether it fits or not."""
    train_s = _train_s(problem, candidate.layout, candidate.recompute, candidate.level)
    rollout_s = _rollout_s(problem, candidate.rollout_gpus, candidate.gpus_per_engine)
    return Timed(candidate, train_s, rollout_s, _step_s(problem, train_s, rollout_s))


class _Table:
    """The best candidates so far, one of each shape."""

    def __init__(self) -> None:
        self.kept: list[Timed] = []
        self.refused: list[TurnedDown] = []
        self.num_legal = 0

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
        """Remember a candidate that does not fit, as long as there are few."""
        if len(self.refused) < _TURNED_DOWN:
            self.refused.append(TurnedDown(one, fullness(problem, one.candidate)))


def _shape(candidate: Candidate) -> tuple[object, ...]:
    layout = candidate.layout
    axes = (layout.tp, layout.pp, layout.cp, layout.ep, layout.etp)
    return (candidate.mode, candidate.train_gpus, candidate.gpus_per_engine, *axes)


def _step_s(problem: Problem, train_s: float, rollout_s: float) -> float:
    """One side after the other, or both at once; what is handed over between them takes no part in the comparison."""
    return max(train_s, rollout_s) if problem.is_async else train_s + rollout_s


def _is_hopeless(problem: Problem, side: Side, table: _Table) -> bool:
    """Whether even GPUs at their peak would be too slow: no bound is looked up for the first candidates."""
    return least_seconds(problem, side[1]) >= table.bound


def _samplers(problem: Problem, side: Side) -> Iterator[_Sampler]:
    for each in engines(problem, side[2]):
        yield _Sampler(_rollout_s(problem, side[2], each), each)


def _match(problem: Problem, side: Side, samplers: list[_Sampler], table: _Table) -> None:
    """Go through ways to train, the fastest first, each with the fastest engines that fit beside it.

    What is computed again only costs time, so a way to train is looked at with less of it first.
    """
    variants = recomputations(problem)
    waiting = list(_trainers(problem, side, variants[0], table))
    heapify(waiting)
    hopeless: set[Layout] = set()
    order = len(waiting)
    while waiting:
        one = heappop(waiting)
        if _step_s(problem, one.seconds, samplers[0].seconds) >= table.bound:
            return
        if one.layout in hopeless:
            continue
        if not trains_within(problem, one.layout, variants[one.again], one.level, side[0]):
            table.refuse(problem, _timed(problem, side, one, samplers[0], variants[one.again]))
            if one.level and not trains_within(problem, one.layout, variants[-1], 0, side[0]):
                hopeless.add(one.layout)
        elif _seat(problem, side, one, variants[one.again], samplers, table):
            continue
        if one.again + 1 < len(variants):
            seconds = _train_s(problem, one.layout, variants[one.again + 1], one.level)
            heappush(waiting, one._replace(seconds=seconds, order=order, again=one.again + 1))
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
        if full.over <= 0:
            table.keep(found)
            return index == 0
        if len(table.refused) < _TURNED_DOWN:
            table.refused.append(TurnedDown(found, full))
    return False


def _trainers(problem: Problem, side: Side, again: Recompute | None, table: _Table) -> Iterator[_Trainer]:
    order = 0
    for one in layouts(problem, side[1]):
        mode, train, rollout = side
        candidate = Candidate(mode, train, rollout, 1, one, None, 0)
        table.num_legal += 1
        if not holds_states(problem, one):
            continue
        for vpp in groups_of_layers(problem, one):
            layout = one._replace(vpp=vpp)
            if is_banned(problem, candidate._replace(layout=layout)):
                continue
            for level in range(levels(problem, layout)):
                yield _Trainer(_train_s(problem, layout, again, level), order, layout, 0, level)
                order += 1


def _timed(problem: Problem, side: Side, one: _Trainer, sampler: _Sampler, again: Recompute | None) -> Timed:
    candidate = Candidate(*side, sampler.each, one.layout, again, one.level)
    return Timed(candidate, one.seconds, sampler.seconds, _step_s(problem, one.seconds, sampler.seconds))


def _train_s(problem: Problem, layout: Layout, again: Recompute | None, level: int) -> float:
    return sum(
        facts.steps * training_seconds(problem, facts, trained(problem, facts, layout, again, level))
        for facts in problem.stages
    )


def _rollout_s(problem: Problem, gpus: int, each: int) -> float:
    seconds = 0.0
    for facts in problem.stages:
        job = sampled(facts.job, facts, each=each, gpus=gpus)
        if job.engine is not None:
            seconds += facts.steps * sampling_seconds(problem, facts, job.engine, max(1, gpus // each))
    return seconds


def _nearest(problem: Problem) -> TurnedDown | None:
    """What is least over: of each of the leanest layouts, with everything computed again and the least micro-batch."""
    again = recomputations(problem)[-1]
    found: list[tuple[float, int, Candidate]] = []
    for side in sides(problem):
        sizes = list(engines(problem, side[2]))
        for one in layouts(problem, side[1]):
            for vpp in list(groups_of_layers(problem, one))[:1]:
                layout = one._replace(vpp=vpp)
                candidates = [Candidate(*side, each, layout, again, 0) for each in sizes[-2:]]
                found.extend((held(problem, layout), len(found), candidate) for candidate in candidates)
    lean = [candidate for _, _, candidate in sorted(found)[:_NEAREST] if not is_banned(problem, candidate)]
    full = [(fullness(problem, candidate), candidate) for candidate in lean]
    least = min(full, key=lambda one: one[0].over, default=None)
    return None if least is None else TurnedDown(timed(problem, least[1]), least[0])
