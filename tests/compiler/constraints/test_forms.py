"""Sums of powers of one unknown: a solution, put in its place, satisfies what it was solved from."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.constraints import exact, forms
from compiler.constraints.exact import Number
from compiler.constraints.forms import UNKNOWN, Form, UnsolvableError, as_form

WHOLE = st.integers(-60, 60)
POWERS = st.integers(-3, 3)


def at(form: Form, x: Fraction) -> Fraction:
    """The value of a form, computed with the fractions of Python's own library."""
    return sum((Fraction(*exact.parts(factor)) * x**power for power, factor in form.terms), Fraction(0))


def term(factor: int, power: int) -> Form:
    return Form(((power, factor),)) if factor else Form(())


@given(WHOLE.filter(bool), POWERS, WHOLE.filter(bool), POWERS)
def test_a_solution_satisfies_its_equation(a: int, p: int, b: int, q: int) -> None:
    left, right = term(a, p), term(b, q)
    try:
        found = forms.solutions(left, right)
    except UnsolvableError:
        assert p == q
        return
    for number in found:
        x = Fraction(*exact.parts(number))
        assert not x or at(left, x) == at(right, x)


@given(st.integers(1, 60), WHOLE, st.integers(1, 60), WHOLE)
def test_a_linear_equation_has_its_one_solution(a: int, b: int, c: int, x: int) -> None:
    # (a x + b) c = the same at x
    left = forms.multiply(forms.add(term(a, 1), as_form(b)), as_form(c))
    assert forms.solutions(left, as_form((a * x + b) * c)) == (x,)


@given(st.integers(1, 40), st.integers(1, 4))
def test_the_unknown_in_a_power_or_below_a_line_is_found(x: int, degree: int) -> None:
    power = Form(((degree, 1),))
    assert x in forms.solutions(power, as_form(x**degree))
    below = forms.divide(as_form(x * 12), UNKNOWN)
    assert forms.solutions(below, as_form(12)) == (x,)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Form(((1, 1), (2, 1))), as_form(6)),
        (UNKNOWN, UNKNOWN),
        (as_form(3), as_form(4)),
    ],
)
def test_what_has_no_exact_shape_is_not_solved(left: Form, right: Form) -> None:
    with pytest.raises(UnsolvableError):
        forms.solutions(left, right)


def test_a_divisor_of_two_terms_is_not_solved() -> None:
    with pytest.raises(UnsolvableError):
        forms.divide(as_form(1), forms.add(UNKNOWN, as_form(1)))


def test_no_root_means_no_solution() -> None:
    square = Form(((2, 1),))
    assert forms.solutions(square, as_form(2)) == ()
    assert forms.solutions(square, as_form(-4)) == ()
    assert forms.solutions(square, as_form(9)) == (3, -3)


def test_an_unknown_that_cancels_out_leaves_a_number() -> None:
    cancelled: Number | Form = forms.plain(forms.add(UNKNOWN, forms.negative(UNKNOWN)))
    assert cancelled == 0
