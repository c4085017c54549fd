"""Stages in simulated time, held against what can be worked out by hand."""

from __future__ import annotations

from math import exp
from random import Random
from statistics import NormalDist, fmean

import pytest

from compiler.ir.schedules.loop import Order
from compiler.planner.simulate.draws import draw_group, length_table
from compiler.planner.simulate.pace import Fleet, Judging, Limits, Pace, Training, Troubles, Turns
from compiler.planner.simulate.run import simulate

GROUP, LENGTH = 4, 100.0
# Two engines with room for 8 sequences; a step of 8 takes twice as long as one of 1.
FLEET = Fleet(engines=2, gpus_per_engine=2, places=8, step_s=tuple(0.1 + 0.1 * n / 8 for n in range(9)), prefill_s=0.5)
TRAINING = Training(gpus=8, nodes=1, seconds=30.0, sync_s=2.0)
PACE = Pace(fleet=FLEET, training=TRAINING, lengths=length_table(LENGTH, LENGTH, 0.0), samples_per_group=GROUP)
# Four groups fill both engines: each reads two prompts, and then decodes 8 sequences at 0.2 seconds a step.
ROLLOUT_S = 2 * 0.5 + LENGTH * 0.2


def test_a_synchronous_step_is_the_sum_of_its_phases() -> None:
    found = simulate(Order(5, 4), PACE)
    assert found.step_s.p50 == found.step_s.most == pytest.approx(2.0 + ROLLOUT_S + 30.0)
    assert found.staleness == {0: 20}
    assert found.trainer_idle_frac == pytest.approx(ROLLOUT_S / (32.0 + ROLLOUT_S))
    assert found.rollout_idle_frac == pytest.approx(32.0 / (32.0 + ROLLOUT_S))


def test_groups_that_no_engine_has_room_for_wait_for_those_before_them() -> None:
    found = simulate(Order(1, 8), PACE)
    assert found.seconds == pytest.approx(2.0 + 2 * ROLLOUT_S + 30.0)


@pytest.mark.parametrize("train_s", [5.0, 90.0])
def test_a_step_that_is_one_off_is_the_longer_one_of_its_sides(train_s: float) -> None:
    found = simulate(Order(50, 4, lag=1), PACE._replace(training=TRAINING._replace(seconds=train_s)))
    assert found.step_s.p50 == pytest.approx(2.0 + max(ROLLOUT_S, train_s))
    assert found.staleness == {0: 4, 1: 49 * 4}


@pytest.mark.parametrize("train_s", [2.0, 60.0])
def test_an_asynchronous_loop_is_as_fast_as_its_slower_side(train_s: float) -> None:
    order = Order(200, 4, lag=3, flows=True, most_under_way=4)
    pace = PACE._replace(training=TRAINING._replace(seconds=train_s, sync_s=0.0), fleet=FLEET._replace(prefill_s=0.0))
    found = simulate(order, pace)
    assert found.seconds / 200 == pytest.approx(max(LENGTH * 0.2, train_s), rel=0.02)


def test_no_group_is_older_than_the_bound_however_long_some_are() -> None:
    order = Order(60, 8, lag=2, flows=True, most_under_way=12)
    found = simulate(order, PACE._replace(lengths=length_table(LENGTH, 5000.0, 1.5)), seed=3)
    assert max(found.staleness) == 2
    assert sum(found.staleness.values()) == 60 * 8


def test_a_lost_engine_costs_its_groups_and_nothing_else() -> None:
    troubles = Troubles(gpu_hours_per_failure=0.3, hang_frac=0.0, spread=0.0, engine_restart_s=100.0)
    pace = PACE._replace(training=TRAINING._replace(gpus=0))
    found = simulate(Order(100, 4), pace, troubles, seed=1)
    assert found.engine_failures > 5
    assert found.lost_tokens > 0
    assert found.trainer_failures == found.lost_steps == 0
    assert found.tokens == pytest.approx(100 * 4 * GROUP * LENGTH)


def test_a_lost_trainer_goes_back_to_its_last_checkpoint() -> None:
    troubles = Troubles(gpu_hours_per_failure=4.0, hang_frac=0.0, spread=0.0, trainer_restart_s=60.0)
    pace = PACE._replace(is_shared=True, training=TRAINING._replace(checkpoint_interval=10))
    found = simulate(Order(200, 4), pace, troubles, seed=1)
    assert found.trainer_failures > 2
    assert 0 < found.lost_steps <= 9 * found.trainer_failures
    assert sum(found.staleness.values()) >= 4 * (200 + found.lost_steps)
    assert found.tokens == pytest.approx(200 * 4 * GROUP * LENGTH)


def test_what_hangs_is_away_for_the_time_limit_longer() -> None:
    pace = PACE._replace(is_shared=True, training=TRAINING._replace(checkpoint_interval=1))
    limits = Limits(train_step_s=200.0, weight_sync_s=200.0, checkpoint_s=0.0, restart_s=0.0)
    troubles = Troubles(gpu_hours_per_failure=4.0, spread=0.0, trainer_restart_s=60.0, limits=limits)
    found = simulate(Order(1000, 4), pace, troubles._replace(hang_frac=0.5), seed=5)
    calm = simulate(Order(1000, 4), pace)
    away = (found.seconds - calm.seconds) / found.trainer_failures
    assert found.trainer_failures > 10
    assert 60.0 < away < 60.0 + 200.0 + calm.step_s.most


def test_a_step_that_is_slower_than_its_limit_is_begun_again() -> None:
    troubles = Troubles(
        gpu_hours_per_failure=0.0,
        spread=0.5,
        trainer_restart_s=10.0,
        limits=Limits(train_step_s=45.0, checkpoint_s=0.0),
    )
    pace = PACE._replace(training=TRAINING._replace(checkpoint_interval=1))
    found = simulate(Order(200, 4), pace, troubles, seed=1)
    # A step takes more than 1.5 times the median with probability 0.2087, and each attempt is another draw.
    expected = 200 * 0.2087 / (1 - 0.2087)
    assert found.trainer_failures == pytest.approx(expected, abs=4 * expected**0.5)
    assert found.engine_failures == found.lost_steps == 0


def test_mean_hours_between_failures_are_those_that_were_asked_for() -> None:
    troubles = Troubles(
        gpu_hours_per_failure=10.0, spread=0.0, hang_frac=0.0, engine_restart_s=0.0, trainer_restart_s=0.0
    )
    found = simulate(Order(3000, 4), PACE._replace(training=TRAINING._replace(checkpoint_interval=1)), troubles)
    failures = found.engine_failures + found.trainer_failures
    assert found.gpu_hours / 10.0 == pytest.approx(failures, abs=4 * failures**0.5)


def test_groups_that_are_left_out_are_sampled_again() -> None:
    found = simulate(Order(100, 4), PACE._replace(left_out_frac=0.5), seed=2)
    assert found.left_out_tokens / found.tokens == pytest.approx(1.0, rel=0.15)
    assert found.tokens == pytest.approx(100 * 4 * GROUP * LENGTH)


def test_a_judge_that_is_slower_than_the_engines_is_what_a_rollout_waits_for() -> None:
    judging = Judging(servers=1, calls=1, mean_s=50.0)
    found = simulate(Order(200, 4), PACE._replace(judging=judging), seed=2)
    assert found.step_s.mean == pytest.approx(2.0 + ROLLOUT_S + 4 * 50.0 + 30.0, rel=0.1)
    assert found.queue_s == pytest.approx(75.0, rel=0.1)  # nobody, one, two and three before them


def test_what_an_environment_takes_between_turns_comes_behind_the_tokens_of_its_slowest_episode() -> None:
    # The longest of two exponential waits is 1.5 times their mean.
    turns = Turns(servers=4, episodes=2, waits=1.0, mean_s=1000.0)
    found = simulate(Order(300, 1), PACE._replace(turns=turns), seed=2)
    calm = simulate(Order(300, 1), PACE, seed=2)
    assert found.step_s.mean - calm.step_s.mean == pytest.approx(1500.0, rel=0.15)
    crowded = simulate(Order(300, 4), PACE._replace(turns=turns._replace(servers=1)), seed=2)
    calm = simulate(Order(300, 4), PACE, seed=2)
    assert crowded.step_s.mean - calm.step_s.mean == pytest.approx(4 * 1500.0, rel=0.15)


def test_gpus_that_read_prompts_or_judge_cost_hours_and_do_not_fail() -> None:
    more = PACE._replace(prefill_gpus=3, judge_gpus=5)
    troubles = Troubles(gpu_hours_per_failure=10.0, spread=0.0)
    one, other = simulate(Order(50, 4), PACE, troubles), simulate(Order(50, 4), more, troubles)
    assert other.gpu_hours == pytest.approx(one.gpu_hours * (PACE.gpus + 8) / PACE.gpus)
    assert (other.seconds, other.engine_failures) == (one.seconds, one.engine_failures)
    shared = more._replace(is_shared=True)
    assert shared.gpus == max(PACE.fleet.engines * PACE.fleet.gpus_per_engine + 3, TRAINING.gpus) + 5


def test_the_same_seed_is_the_same_run_and_failures_change_no_length() -> None:
    pace = PACE._replace(lengths=length_table(LENGTH, 1000.0, 1.0))
    once, again = (simulate(Order(20, 4), pace, Troubles(), seed=4) for _ in range(2))
    assert once == again
    assert once != simulate(Order(20, 4), pace, Troubles(), seed=5)
    rare = Troubles(spread=0.0)
    assert simulate(Order(20, 4), pace, rare, seed=4) == simulate(
        Order(20, 4), pace, rare._replace(gpu_hours_per_failure=0.0), seed=4
    )


def test_lengths_have_the_mean_and_the_tail_of_their_distribution() -> None:
    table, random = length_table(400.0, 100_000.0, 1.0), Random(1)
    drawn = [draw_group(table, 8, random) for _ in range(20_000)]
    assert fmean(total / 8 for total, _ in drawn) == pytest.approx(400.0, rel=0.02)
    one_in_a_thousand = table.scale * exp(NormalDist().inv_cdf(0.999))
    beyond = sum(longest > one_in_a_thousand for _, longest in drawn)
    expected = 20_000 * (1 - 0.999**8)
    assert beyond == pytest.approx(expected, abs=3 * expected**0.5)
