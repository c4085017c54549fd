"""Which action of a stage that samples may begin, and when: the one description of its schedules.

A loop is a value; `due` says what may begin in it, and `started`, `sampled` and `ended` return the loop after something
happened.  It knows neither clocks nor actors: the runtime carries out what is due, the simulator lets time pass
instead, and a change here changes both.  Sampling and training are counted in groups; the version of the weights is the
number of batches that they were trained on.

The bound of staleness.  Let v be the version that the engines hold, `lag` the bound, B the groups of a batch.  So many
groups may have been begun, left-out ones not counted: (v + 1 + lag) B, which is the formula of AReaL
(arXiv:2505.24298, section 5.1) with the version of the engines in place of that of the trainer.  Batches take the
oldest groups first, and training waits for one where those that are left would not all find room in the batches up to
their version + lag (earliest deadline first).  So no token is older than the bound, whatever group is slow; the count
alone lets a slow group grow older.

Three schedules are three values of two settings.  Synchronous: lag 0.  One step off: lag 1, whole batches, and weights
are sent between two of them, as in slime's train_async.py.  Asynchronous: groups begin one by one, and weights are sent
while others are under way.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal, TypeAlias
from compiler.diagnostics.named_tuple import NamedTuple


class Order(NamedTuple):
    """What decides the order of a stage's actions.

    Args:
        max_steps: batches that are trained.
        batch: groups of one batch.
        lag: batches by which the weights that sampled may be behind those that are trained.
        flows: whether groups begin one by one, and go on while weights are sent; if not, they begin a batch at a time.
        most_under_way: groups that may be under way at once where they flow.
    """

    max_steps: int
    batch: int
    lag: int = 0
    flows: bool = False
    most_under_way: int = 1


class Cohort(NamedTuple):
    """Groups that one version of the weights began."""

    version: int
    groups: int


class Send(NamedTuple):
    """The engines get the weights of a version."""

    version: int


class Begin(NamedTuple):
    """Groups begin with the weights of a version, which the engines hold."""

    groups: int
    version: int


class Train(NamedTuple):
    """A batch is trained on: the oldest groups that wait, by version."""

    step: int
    taken: tuple[Cohort, ...]


class End(NamedTuple):
    """All batches are trained, no group is under way, and nobody waits for weights: the actors may go."""


Action: TypeAlias = Send | Begin | Train | End


class Loop(NamedTuple):
    """A stage at one moment.

    Args:
        trained: batches that were trained.
        sent: the version that the engines hold, or -1 before they hold any.
        begun: groups that were begun, without those that were left out or lost.
        under_way: groups that are sampled and judged, the oldest first.
        waiting: groups that are ready for training, the oldest first.
        trainer: what the trainer does.
    """

    order: Order
    trained: int = 0
    sent: int = -1
    begun: int = 0
    under_way: tuple[Cohort, ...] = ()
    waiting: tuple[Cohort, ...] = ()
    trainer: Literal["idle", "sends", "trains"] = "idle"


def resumed(order: Order, step: int, *, under_way: tuple[Cohort, ...] = (), waiting: tuple[Cohort, ...] = ()) -> Loop:
    """Return the loop of a stage that has trained so many batches, and whose engines hold nothing yet.

    Args:
        under_way: groups that were begun before and go on, the oldest first.
        waiting: groups that are ready for training, the oldest first.
    """
    begun = step * order.batch + count(under_way) + count(waiting)
    return Loop(order, trained=step, begun=begun, under_way=under_way, waiting=waiting)


def capacity(loop: Loop) -> int:
    """Return how many groups may begin now."""
    order, begun = loop.order, loop.begun
    if loop.sent < 0 or loop.trainer == "sends":
        return 0
    allowed = order.batch * min(loop.sent + 1 + order.lag, order.max_steps) - begun
    if order.flows:
        return max(0, min(allowed, order.most_under_way - count(loop.under_way)))
    missing = -begun % order.batch
    is_next = not loop.under_way and not missing
    return max(0, min(allowed, order.batch if is_next else missing))


def due(loop: Loop) -> tuple[Action, ...]:
    """Return what may begin now; whoever carries out one of them asks again before the next."""
    if _is_due_to_send(loop):
        return (Send(loop.trained),)
    found: list[Action] = []
    if room := capacity(loop):
        found.append(Begin(room, loop.sent))
    if _may_train(loop):
        found.append(Train(loop.trained, _split(loop.waiting, loop.order.batch)[0]))
    if loop.trained >= loop.order.max_steps and loop.trainer == "idle" and not loop.under_way:
        found.append(End())
    return tuple(found)


def started(loop: Loop, action: Action) -> Loop:
    """Return the loop after an action began."""
    if isinstance(action, Begin):
        under_way = _joined(loop.under_way, action.version, action.groups)
        return loop._replace(begun=loop.begun + action.groups, under_way=under_way)
    if isinstance(action, Train):
        return loop._replace(waiting=_split(loop.waiting, loop.order.batch)[1], trainer="trains")
    return loop._replace(trainer="sends") if isinstance(action, Send) else loop


def sampled(loop: Loop, cohort: Cohort, *, left_out: int = 0) -> Loop:
    """Return the loop after groups of a version ended; those that a filter left out, or that were lost, begin again."""
    version, groups = cohort
    kept = groups - left_out
    order, trained, sent, begun, under_way, waiting, trainer = loop
    under_way = _without(under_way, version, groups)
    if kept:
        waiting = _joined(waiting, version, kept)
    return Loop._make((order, trained, sent, begun - left_out, under_way, waiting, trainer))


def ended(loop: Loop, action: Action) -> Loop:
    """Return the loop after the trainer did what it had begun; groups end by `sampled`."""
    if isinstance(action, Send):
        return loop._replace(sent=action.version, trainer="idle")
    return loop._replace(trained=loop.trained + 1, trainer="idle") if isinstance(action, Train) else loop


def staleness(action: Train) -> tuple[Cohort, ...]:
    """Return how many groups of a batch are how many versions behind the weights that are trained on them."""
    return tuple(Cohort(action.step - version, groups) for version, groups in action.taken)


def count(cohorts: tuple[Cohort, ...]) -> int:
    """Return the groups of all versions."""
    total = 0
    for _, groups in cohorts:
        total += groups
    return total


def _is_due_to_send(loop: Loop) -> bool:
    """Whether the engines hold older weights than there are, and somebody will still sample with newer ones."""
    order = loop.order
    is_wanted = loop.begun < order.max_steps * order.batch or bool(loop.under_way)
    may = loop.trainer == "idle" and (order.flows or not loop.under_way)
    return loop.sent < loop.trained and is_wanted and may


def _may_train(loop: Loop) -> bool:
    if loop.trainer != "idle" or count(loop.waiting) < loop.order.batch:
        return False
    rest = _split(loop.waiting, loop.order.batch)[1]
    # What is not taken now has to find room in the batches before it is too old: those up to its version + lag.
    left = 0
    for version, groups in _merged(loop.under_way, rest):
        left += groups
        if left > loop.order.batch * (version + loop.order.lag - loop.trained):
            return False
    return True


def _joined(cohorts: tuple[Cohort, ...], version: int, groups: int) -> tuple[Cohort, ...]:
    """The cohorts with more groups of a version; a simulation asks for it once for every group."""
    if cohorts and cohorts[-1][0] == version:
        return (*cohorts[:-1], Cohort._make((version, cohorts[-1][1] + groups)))
    return _merged(cohorts, (Cohort(version, groups),))


def _merged(one: tuple[Cohort, ...], other: tuple[Cohort, ...]) -> tuple[Cohort, ...]:
    counts = dict(one)
    for version, groups in other:
        counts[version] = counts.get(version, 0) + groups
    return tuple(map(Cohort._make, sorted(counts.items())))


def _without(cohorts: tuple[Cohort, ...], version: int, groups: int) -> tuple[Cohort, ...]:
    for at, (other, there) in enumerate(cohorts):
        if other == version and there >= groups:
            rest = (Cohort._make((version, there - groups)),) if there > groups else ()
            return (*cohorts[:at], *rest, *cohorts[at + 1 :])
    raise AssertionError("only groups that are under way end")


def _split(cohorts: tuple[Cohort, ...], groups: int) -> tuple[tuple[Cohort, ...], tuple[Cohort, ...]]:
    """The oldest groups, so many, and the others."""
    first: list[Cohort] = []
    rest: list[Cohort] = []
    for version, there in cohorts:
        taken = min(there, groups)
        groups -= taken
        if taken:
            first.append(Cohort(version, taken))
        if there > taken:
            rest.append(Cohort(version, there - taken))
    return tuple(first), tuple(rest)
