"""Every order in which a loop's actions can end, explored to the last state: a bounded model check."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Begin, Cohort, End, Loop, Send, Train


class StuckError(AssertionError):
    """A loop in which nothing may begin, nothing is under way, and not everything is trained."""


def explore(
    first: Loop, *, may_leave_out: bool = False, begins_anew: bool = False, most_states: int = 200_000
) -> set[Loop]:
    """Return every loop that can be reached from one, whatever ends first, and hold each to what must be true.

    Args:
        may_leave_out: whether any group may be left out, or lost with its engine, and begun again.
        begins_anew: whether a step ends with each batch, and the next one begins with what is under way and waits, as
            a runtime does that may be killed between two steps.

    Raises: StuckError, or AssertionError for a broken invariant.
    """
    seen, open_ones = {first}, [first]
    while open_ones:
        now = open_ones.pop()
        following = list(_after(now, may_leave_out=may_leave_out))
        if begins_anew:
            following = [_anew(then) if then.trained > now.trained else then for then in following]
        if not following and not _is_over(now):
            raise StuckError(f"nothing can happen any more: {now}")
        for then in following:
            _hold(then)
            if then not in seen:
                seen.add(then)
                open_ones.append(then)
        assert len(seen) <= most_states, "too large to be explored"
    return seen


def _after(now: Loop, *, may_leave_out: bool) -> Iterator[Loop]:
    for action in schedule.due(now):
        if isinstance(action, Train):
            assert all(0 <= step <= now.order.lag for step, _ in schedule.staleness(action)), f"too old: {action}"
            assert schedule.count(action.taken) == now.order.batch
        if isinstance(action, End):
            assert not now.waiting, "samples are left over"
        else:
            yield schedule.started(now, action)
    for cohort in now.under_way:
        yield schedule.sampled(now, cohort._replace(groups=1))
        if may_leave_out:
            yield schedule.sampled(now, cohort._replace(groups=1), left_out=1)
    if now.trainer == "sends":
        yield schedule.ended(now, Send(now.trained))
    if now.trainer == "trains":
        yield schedule.ended(now, Train(now.trained, ()))


def _anew(now: Loop) -> Loop:
    """The loop of the next step; whole batches are sampled to their end before."""
    while now.under_way and not now.order.flows:
        now = schedule.sampled(now, now.under_way[0])
    return schedule.resumed(now.order, now.trained, under_way=now.under_way, waiting=now.waiting)


def _hold(now: Loop) -> None:
    order = now.order
    held = schedule.count(now.under_way) + schedule.count(now.waiting)
    training = order.batch if now.trainer == "trains" else 0
    assert now.begun == now.trained * order.batch + training + held, "groups are lost or counted twice"
    assert now.begun <= order.max_steps * order.batch, "more is sampled than is ever trained on"
    assert -1 <= now.sent <= now.trained <= order.max_steps


def _is_over(now: Loop) -> bool:
    return schedule.due(now) == (End(),) and now.trained == now.order.max_steps


def alone(first: Loop, steps: int) -> list[str]:
    """Return the actions of a loop in which everything ends as soon as it has begun, up to so many batches."""
    now = first
    found: list[str] = []
    while now.trained < steps:
        action = schedule.due(now)[0]
        found.append(type(action).__name__ + (f" {action.version}" if isinstance(action, Send | Begin) else ""))
        now = schedule.started(now, action)
        if isinstance(action, Begin):
            now = schedule.sampled(now, Cohort(action.version, action.groups))
        now = schedule.ended(now, action)
    return found
