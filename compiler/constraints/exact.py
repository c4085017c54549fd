"""Exact numbers: whole ones, and fractions in lowest terms.

A float of a spec stands for the decimal that a person wrote, so that 0.1 + 0.2 is 0.3.  No number grows past the budget
of the language.
"""

from __future__ import annotations

from typing import TypeAlias

from compiler.frontend.starlark.budget import check_bits
from compiler.ir.equations import Ratio

Number: TypeAlias = "int | Ratio"


def ratio(above: int, below: int) -> Number:
    """Return a fraction in lowest terms, or the whole number that it is.  Raises: ZeroDivisionError, BudgetError."""
    if below == 1:
        check_bits(above.bit_length())
        return above
    if below == 0:
        raise ZeroDivisionError
    common = _gcd(above, below)
    above, below = above // common, below // common
    if below < 0:
        above, below = -above, -below
    check_bits(max(above.bit_length(), below.bit_length()))
    return above if below == 1 else Ratio(above, below)


def parts(number: Number) -> tuple[int, int]:
    """Return numerator and denominator; the denominator is positive."""
    return (number.numerator, number.denominator) if isinstance(number, Ratio) else (number, 1)


def exact(value: float) -> Number:
    """Return the decimal that a float is written as.  Raises: ValueError for infinity and nan."""
    digits, _, exponent = repr(value).partition("e")
    whole, _, fraction = digits.partition(".")
    power = int(exponent or 0) - len(fraction)
    number = int(whole + fraction)
    return number * 10**power if power >= 0 else ratio(number, 10**-power)


def to_float(number: Number) -> float:
    """Return the nearest float.  Raises: OverflowError."""
    above, below = parts(number)
    return above / below


def add(a: Number, b: Number) -> Number:
    """Return a + b."""
    (p, q), (r, s) = parts(a), parts(b)
    return ratio(p * s + r * q, q * s)


def negative(a: Number) -> Number:
    """Return -a."""
    p, q = parts(a)
    return ratio(-p, q)


def multiply(a: Number, b: Number) -> Number:
    """Return a * b."""
    (p, q), (r, s) = parts(a), parts(b)
    check_bits(max(p.bit_length() + r.bit_length(), q.bit_length() + s.bit_length()) - 1)
    return ratio(p * r, q * s)


def divide(a: Number, b: Number) -> Number:
    """Return a / b.  Raises: ZeroDivisionError."""
    r, s = parts(b)
    if r == 0:
        raise ZeroDivisionError
    return multiply(a, ratio(s, r))


def floor(a: Number) -> int:
    """Return the largest whole number that is not above a."""
    p, q = parts(a)
    return p // q


def floor_divide(a: Number, b: Number) -> int:
    """Return a // b, rounded down.  Raises: ZeroDivisionError."""
    return floor(divide(a, b))


def modulo(a: Number, b: Number) -> Number:
    """Return a - b * (a // b), which has the sign of b.  Raises: ZeroDivisionError."""
    return add(a, negative(multiply(b, floor_divide(a, b))))


def order(a: Number, b: Number) -> int:
    """Return a number below, at or above zero as a is less than, equal to or more than b."""
    (p, q), (r, s) = parts(a), parts(b)
    left, right = p * s, r * q
    return (left > right) - (left < right)


def power(a: Number, exponent: int) -> Number:
    """Return a to a whole power, which may be negative.  Raises: ZeroDivisionError."""
    p, q = parts(a)
    check_bits(max(p.bit_length(), q.bit_length()) * abs(exponent))
    if exponent < 0 and p == 0:
        raise ZeroDivisionError
    return ratio(p**exponent, q**exponent) if exponent >= 0 else ratio(q**-exponent, p**-exponent)


def root(a: Number, degree: int) -> Number | None:
    """Return the positive root of a positive number, if it is exact."""
    p, q = parts(a)
    above, below = _whole_root(p, degree), _whole_root(q, degree)
    return None if above is None or below is None else ratio(above, below)


def said(number: Number) -> str:
    """Return a number as a person reads it: `8,192`, `0.5`, `1e-06`, `7/3`."""
    p, q = parts(number)
    if q == 1:
        return f"{p:,}"
    rest = q
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    try:
        near = p / q
    except OverflowError:
        return f"{p}/{q}"
    return repr(near) if rest == 1 and exact(near) == number else f"{p}/{q}"


def _whole_root(number: int, degree: int) -> int | None:
    if number <= 0:
        return None
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= number:
            low = middle
        else:
            high = middle - 1
    return low if low**degree == number else None


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return abs(a)
