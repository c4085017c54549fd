"""What may begin when, held against a hand-written order and against every order of events."""

from __future__ import annotations

from itertools import product

import pytest

from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Begin, Cohort, End, Loop, Order, Send, Train
from tests.support.every_order import StuckError, alone, explore


def test_a_synchronous_loop_sends_samples_and_trains_in_turn() -> None:
    assert alone(Loop(Order(3, 4)), 3) == [
        "Send 0", "Begin 0", "Train", "Send 1", "Begin 1", "Train", "Send 2", "Begin 2", "Train",
    ]  # fmt: skip


def test_the_last_weights_of_a_synchronous_loop_are_sent_to_nobody() -> None:
    over = Loop(Order(1, 2), trained=1, sent=0, begun=2)
    assert schedule.due(over) == (End(),)


def test_one_step_off_samples_a_batch_while_the_one_before_is_trained_on() -> None:
    first_is_sampled = Loop(Order(3, 4, lag=1), sent=0, begun=4, waiting=(Cohort(0, 4),))
    assert schedule.due(first_is_sampled) == (Begin(4, 0), Train(0, (Cohort(0, 4),)))


def test_one_step_off_sends_between_two_rollouts_and_not_within_one() -> None:
    under_way = Loop(Order(3, 4, lag=1), trained=1, sent=0, begun=8, under_way=(Cohort(0, 1),), waiting=(Cohort(0, 3),))
    assert schedule.due(under_way) == ()
    assert schedule.due(schedule.sampled(under_way, Cohort(0, 1))) == (Send(1),)


def test_an_asynchronous_loop_begins_what_the_bound_allows_and_there_is_room_for() -> None:
    order = Order(9, 4, lag=2, flows=True, most_under_way=10)
    assert schedule.due(Loop(order, sent=0)) == (Begin(10, 0),)
    assert schedule.due(Loop(order._replace(most_under_way=99), sent=0)) == (Begin(12, 0),)


def test_training_waits_for_a_group_that_the_next_batch_would_be_too_late_for() -> None:
    slow = Loop(Order(9, 2, lag=1, flows=True), trained=1, sent=1, begun=6)
    slow = slow._replace(under_way=(Cohort(0, 1),), waiting=(Cohort(0, 1), Cohort(1, 2)))
    assert not any(isinstance(action, Train) for action in schedule.due(slow))
    assert Train(1, (Cohort(0, 2),)) in schedule.due(schedule.sampled(slow, Cohort(0, 1)))


def test_a_resumed_loop_sends_its_weights_before_anything_begins() -> None:
    assert schedule.due(schedule.resumed(Order(9, 4, lag=1, flows=True), 5)) == (Send(5),)


ORDERS = [
    Order(steps, batch, lag, flows, most)
    for steps, batch, lag in product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2, 3))
    for flows, most in ((False, 1), (True, 1), (True, 2), (True, 4), (True, 16))
]


@pytest.mark.parametrize("may_leave_out", [False, True])
def test_no_order_of_events_makes_a_loop_stop_or_grow_older_than_its_bound(may_leave_out: bool) -> None:
    for order in ORDERS:
        explore(Loop(order), may_leave_out=may_leave_out)


@pytest.mark.parametrize("may_leave_out", [False, True])
def test_no_order_of_events_makes_steps_that_may_be_resumed_stop_or_grow_older(may_leave_out: bool) -> None:
    for order in ORDERS:
        explore(schedule.resumed(order, 0), may_leave_out=may_leave_out, begins_anew=True)


def test_a_resumed_loop_has_the_groups_that_were_under_way_and_waited() -> None:
    order = Order(9, 4, lag=2, flows=True, most_under_way=8)
    loop = schedule.resumed(order, 3, under_way=(Cohort(2, 3),), waiting=(Cohort(1, 1), Cohort(2, 2)))
    assert loop.begun == 3 * 4 + 3 + 3
    assert schedule.due(loop) == (Send(3),)
    assert schedule.capacity(schedule.ended(schedule.started(loop, Send(3)), Send(3))) == 5


def test_a_stage_that_is_shorter_than_its_bound_ends() -> None:
    assert any(now.trained == 2 for now in explore(Loop(Order(2, 2, lag=5, flows=True, most_under_way=8))))


def test_every_bound_is_reached_by_some_order_of_events() -> None:
    oldest = 0
    for now in explore(Loop(Order(4, 2, lag=2, flows=True, most_under_way=6))):
        for action in schedule.due(now):
            if isinstance(action, Train):
                oldest = max(oldest, *(age for age, _ in schedule.staleness(action)))
    assert oldest == 2


def test_a_capacity_that_is_divided_twice_among_workers_is_found_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """AReaL's change 1396: two places, a batch of two, two workers, nothing stale, and each worker had none."""
    whole = schedule.capacity

    def divided(now: Loop) -> int:
        return whole(now) // 2 // 2

    monkeypatch.setattr(schedule, "capacity", divided)
    with pytest.raises(StuckError):
        explore(Loop(Order(2, 2, lag=0, flows=True, most_under_way=2)))


def test_counting_alone_lets_a_slow_group_grow_older_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(now: Loop) -> bool:
        return now.trainer == "idle" and schedule.count(now.waiting) >= now.order.batch

    monkeypatch.setattr(schedule, "_may_train", greedy)
    with pytest.raises(AssertionError, match="too old"):
        explore(Loop(Order(4, 2, lag=1, flows=True, most_under_way=4)))


def test_one_step_off_ends_where_there_is_one_step() -> None:
    """prime-rl's change 2219: a stage with no more steps than its lag waited for ever."""
    explore(Loop(Order(1, 2, lag=1)))
