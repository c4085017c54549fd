"""Numbers with one unknown: sums of multiples of its powers, `3 * x + 1` or `12 / x`.

Enough to solve what people write as identities, exactly and without search.  What leaves this shape (rounding, a
remainder, a choice by the unknown) cannot be solved, and says so.
"""

from __future__ import annotations

from compiler.constraints import exact
from compiler.constraints.exact import Number
from compiler.diagnostics.named_tuple import NamedTuple

_MOST_TERMS = 8
_LARGEST_POWER = 16


class UnsolvableError(Exception):
    """An expression of the unknown that has no such shape."""


class Form(NamedTuple):
    """A sum of terms; `terms` are pairs of a power of the unknown and its factor, which is never 0."""

    terms: tuple[tuple[int, Number], ...]


UNKNOWN = Form(((1, 1),))


def as_form(value: Number | Form) -> Form:
    """Return a number as a form."""
    if isinstance(value, Form):
        return value
    return Form(() if value == 0 else ((0, value),))


def plain(form: Form) -> Number | Form:
    """Return the number that a form is, if the unknown has cancelled out of it."""
    if not form.terms:
        return 0
    return form.terms[0][1] if len(form.terms) == 1 and form.terms[0][0] == 0 else form


def add(a: Form, b: Form) -> Form:
    """Return a + b."""
    return _collected((*a.terms, *b.terms))


def negative(a: Form) -> Form:
    """Return -a."""
    return Form(tuple((power, exact.negative(factor)) for power, factor in a.terms))


def multiply(a: Form, b: Form) -> Form:
    """Return a * b.  Raises: UnsolvableError where that has too many terms."""
    return _collected(tuple((p + q, exact.multiply(f, g)) for p, f in a.terms for q, g in b.terms))


def divide(a: Form, b: Form) -> Form:
    """Return a / b.  Raises: UnsolvableError for a divisor of several terms, ZeroDivisionError."""
    if not b.terms:
        raise ZeroDivisionError
    if len(b.terms) > 1:
        raise UnsolvableError
    power, factor = b.terms[0]
    return multiply(a, Form(((-power, exact.divide(1, factor)),)))


def solutions(left: Form, right: Form) -> tuple[Number, ...]:
    """Return what the unknown may be so that both are equal, the positive value first; none if nothing is.

    Raises: UnsolvableError where there are more than two terms, or the unknown has cancelled out.
    """
    terms = add(left, negative(right)).terms
    if all(power == 0 for power, _ in terms):
        raise UnsolvableError
    if len(terms) == 1:
        return (0,) if terms[0][0] > 0 else ()
    if len(terms) > 2:
        raise UnsolvableError
    (low, small), (high, large) = terms
    degree, value = high - low, exact.negative(exact.divide(small, large))
    if degree == 1:
        return (value,)
    is_negative = exact.order(value, 0) < 0
    if is_negative and degree % 2 == 0:
        return ()
    found = exact.root(exact.negative(value) if is_negative else value, degree)
    if found is None:
        return ()
    if degree % 2:
        return (exact.negative(found) if is_negative else found,)
    return found, exact.negative(found)


def _collected(terms: tuple[tuple[int, Number], ...]) -> Form:
    found: dict[int, Number] = {}
    for power, factor in terms:
        found[power] = exact.add(found.get(power, 0), factor)
    kept = tuple((power, found[power]) for power in sorted(found) if found[power] != 0)
    if len(kept) > _MOST_TERMS or any(abs(power) > _LARGEST_POWER for power, _ in kept):
        raise UnsolvableError
    return Form(kept)
