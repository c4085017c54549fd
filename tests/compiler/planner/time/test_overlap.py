"""How often a batch is ready in an asynchronous loop: the closed form against the simulated schedule."""

from __future__ import annotations

from itertools import product
from statistics import fmean

from compiler.ir.schedules.loop import Order
from compiler.planner.simulate.draws import length_table
from compiler.planner.simulate.pace import Fleet, Pace, Training
from compiler.planner.simulate.run import simulate
from compiler.planner.time.lengths import Lengths, classes_of
from compiler.planner.time.overlap import Decoding, Sampled, overlapped

ENGINES, BATCH, GROUP, STEPS = 4, 64, 8, 60
FIXED_S, EACH_S = 0.006, 0.0001
SYNC_S = 1.0


def predicted(lengths: Lengths, places: int, lag: int) -> Sampled:
    samples = BATCH * GROUP
    classes, share = classes_of(lengths, samples), samples / ENGINES
    return overlapped(Decoding(FIXED_S, EACH_S, places, places), classes, share=share, group=GROUP, lag=lag)


def simulated_step_s(lengths: Lengths, places: int, lag: int, train_s: float) -> float:
    step_s = tuple(FIXED_S + EACH_S * n for n in range(places + 1))
    pace = Pace(
        fleet=Fleet(ENGINES, 1, places, step_s),
        training=Training(gpus=4, nodes=1, seconds=train_s, sync_s=SYNC_S),
        lengths=length_table(*lengths),
        samples_per_group=GROUP,
    )
    order = Order(STEPS, BATCH, lag=lag, flows=True, most_under_way=ENGINES * places // GROUP)
    return simulate(order, pace, seed=1).seconds / STEPS


def test_a_step_takes_what_the_schedule_takes_in_simulated_time() -> None:
    """Where places of engines decide, where the bound of staleness does, and where all three sides are close."""
    errors = []
    for lag, places, spread, train_s in product((1, 2, 4), (16, 512), (0.3, 1.0), (1.0, 30.0)):
        lengths = Lengths(2000.0, 8000.0, spread)
        found = max(predicted(lengths, places, lag).seconds(train_s, SYNC_S), train_s) + SYNC_S
        errors.append(abs(found / simulated_step_s(lengths, places, lag, train_s) - 1))
    assert max(errors) < 0.11
    assert fmean(errors) < 0.05


def test_a_wider_bound_never_takes_longer() -> None:
    lengths = Lengths(2000.0, 8000.0)
    steps = [predicted(lengths, 512, lag).seconds(20.0, 1.0) for lag in (1, 2, 3, 4, 8)]
    assert steps == sorted(steps, reverse=True)


def test_without_a_lag_a_step_waits_for_its_last_response() -> None:
    assert Sampled(busy=5.0, batch=8.0).seconds(100.0, 1.0) == 8.0
