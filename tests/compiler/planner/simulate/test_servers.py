"""Queues held against Erlang's formula for M/M/c, and calls at once against the harmonic numbers."""

from __future__ import annotations

from math import factorial
from random import Random
from statistics import fmean, stdev

import pytest

from compiler.planner.simulate.servers import Servers, longest_of


def _erlang_c_wait_s(arrivals_per_s: float, mean_s: float, servers: int) -> float:
    load = arrivals_per_s * mean_s
    last = load**servers / factorial(servers) / (1 - load / servers)
    waits = last / (sum(load**n / factorial(n) for n in range(servers)) + last)
    return waits * mean_s / (servers - load)


def _mean_wait_s(random: Random, arrivals_per_s: float, mean_s: float, servers: int) -> float:
    queue, now = Servers(servers), 0.0
    for _ in range(4000):
        now += random.expovariate(arrivals_per_s)
        queue.serve(now, longest_of(1, mean_s, random))
    return queue.waited_s / queue.served


@pytest.mark.parametrize(("arrivals_per_s", "servers"), [(0.5, 1), (1.5, 2), (3.0, 4), (12.0, 16)])
def test_customers_wait_as_long_as_erlang_says(arrivals_per_s: float, servers: int) -> None:
    random = Random(7)
    means = [_mean_wait_s(random, arrivals_per_s, 1.0, servers) for _ in range(30)]
    error = stdev(means) / len(means) ** 0.5
    assert abs(fmean(means) - _erlang_c_wait_s(arrivals_per_s, 1.0, servers)) < 3 * error


def test_the_longest_of_several_calls_is_a_harmonic_number_of_means() -> None:
    random = Random(3)
    drawn = [longest_of(16, 2.0, random) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(2.0 * sum(1 / n for n in range(1, 17)), rel=0.02)
