"""Exact numbers against the fractions of Python's own library."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.constraints import exact
from compiler.constraints.exact import Number
from compiler.frontend.starlark.errors import BudgetError

FRACTIONS = st.fractions(min_value=-1000, max_value=1000, max_denominator=1000)


def number(fraction: Fraction) -> Number:
    return exact.ratio(fraction.numerator, fraction.denominator)


def fraction(value: Number) -> Fraction:
    return Fraction(*exact.parts(value))


@given(FRACTIONS, FRACTIONS)
def test_sums_and_products_are_those_of_fractions(a: Fraction, b: Fraction) -> None:
    assert fraction(exact.add(number(a), number(b))) == a + b
    assert fraction(exact.multiply(number(a), number(b))) == a * b
    assert fraction(exact.negative(number(a))) == -a
    assert exact.order(number(a), number(b)) == (a > b) - (a < b)


@given(FRACTIONS, FRACTIONS.filter(bool))
def test_quotients_and_remainders_are_those_of_fractions(a: Fraction, b: Fraction) -> None:
    assert fraction(exact.divide(number(a), number(b))) == a / b
    assert exact.floor_divide(number(a), number(b)) == a // b
    assert fraction(exact.modulo(number(a), number(b))) == a % b


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_that_it_is_written_as(value: float) -> None:
    assert fraction(exact.exact(value)) == Fraction(Decimal(repr(value)))
    assert exact.to_float(exact.exact(value)) == value


@given(FRACTIONS.filter(lambda value: value > 0), st.integers(1, 5))
def test_the_root_of_a_power_is_exact(value: Fraction, degree: int) -> None:
    assert exact.root(exact.power(number(value), degree), degree) == number(value)


def test_what_is_no_power_has_no_root() -> None:
    assert exact.root(2, 2) is None
    assert exact.root(exact.ratio(4, 3), 2) is None
    assert exact.root(8, 3) == 2


def test_a_whole_number_is_never_a_fraction() -> None:
    assert type(exact.ratio(6, 3)) is int
    assert type(exact.add(exact.ratio(1, 2), exact.ratio(1, 2))) is int
    assert exact.parts(exact.ratio(1, -2)) == (-1, 2)


@pytest.mark.parametrize(
    ("above", "below", "text"),
    [(8192, 1, "8,192"), (1, 2, "0.5"), (1, 1_000_000, "1e-06"), (7, 3, "7/3"), (-1, 3, "-1/3"), (0, 5, "0")],
)
def test_a_number_is_said_as_a_person_reads_it(above: int, below: int, text: str) -> None:
    assert exact.said(exact.ratio(above, below)) == text


def test_division_by_zero_and_too_many_digits_are_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        exact.divide(1, 0)
    with pytest.raises(BudgetError):
        exact.power(2, 10_000)
