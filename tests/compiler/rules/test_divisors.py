"""Divisors that ways out are made of, against their definition; of numbers that count nothing there are a few."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from compiler.rules._gpu_layout import divisors, near_divisors


@given(st.integers(1, 3_000))
@example(1)
@example(2_500)
def test_the_divisors_of_a_number_are_all_that_divide_it_in_order(number: int) -> None:
    assert divisors(number) == [n for n in range(1, number + 1) if number % n == 0]


def test_a_number_beyond_every_count_has_its_small_divisors_and_their_cofactors() -> None:
    found = divisors(2**62)
    assert found[:3] == [1, 2, 4]
    assert found[-1] == 2**62
    assert all(2**62 % n == 0 for n in found)
    assert near_divisors(2**62, 10) == [4, 8, 16]
