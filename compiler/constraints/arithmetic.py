"""What operators do to the values of expressions: numbers, with or without the unknown, texts and lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from compiler.constraints import exact, forms
from compiler.constraints.exact import Number
from compiler.constraints.forms import Form, UnsolvableError, as_form
from compiler.frontend.starlark.budget import Budget, check_bits
from compiler.ir.equations import Ratio
from compiler.ir.subject import toml_literal

if TYPE_CHECKING:
    from compiler.constraints.evaluate import Value

_LONGEST = 60


class FaultError(Exception):
    """A failure of an expression, in words that name the values."""


def is_number(value: object) -> bool:
    """Whether a value is an exact number; true and false are none."""
    return type(value) is int or isinstance(value, Ratio)


def described(value: object) -> str:
    """Return what kind of value it is, with the value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {said(value)}"
    if isinstance(value, int):
        return f"the whole number {said(value)}"
    if isinstance(value, Ratio):
        return f"the number {said(value)}"
    if isinstance(value, Form):
        return "a number"
    return f"the list {said(value)}" if isinstance(value, list) else said(value)


def said(value: object) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Ratio)):
        return exact.said(value)
    if isinstance(value, str):
        return _short(toml_literal(value))
    if isinstance(value, list):
        return _short("[" + ", ".join(said(item) for item in value[:_LONGEST]) + "]")
    return "none" if value is None else "a table"


def unary(op: str, value: Value) -> Value:
    """Return +x, -x or ~x.  Raises: FaultError."""
    if isinstance(value, Form) and op != "~":
        return forms.negative(value) if op == "-" else value
    if type(value) is int and op == "~":
        return ~value
    if op == "~" or not is_numeric(value):
        raise FaultError(f"{op} does not apply to {described(value)}")
    return value if op == "+" else exact.negative(_number(value))


def binary(op: str, a: Value, b: Value, budget: Budget) -> Value:
    """Return a op b.  Raises: FaultError, UnsolvableError, ZeroDivisionError, BudgetError."""
    if is_numeric(a) and is_numeric(b):
        if isinstance(a, Form) or isinstance(b, Form):
            combine = _FORMS.get(op)
            if combine is None:
                raise UnsolvableError
            return forms.plain(combine(form(a), form(b)))
        calculate = _NUMBERS.get(op)
        if calculate is not None:
            return calculate(_number(a), _number(b))
        if type(a) is int and type(b) is int:
            return _bits(op, a, b)
    if op == "+" and isinstance(a, str) and isinstance(b, str):
        budget.allocate(len(a) + len(b))
        return a + b
    if op == "+" and isinstance(a, list) and isinstance(b, list):
        budget.elements(len(a) + len(b))
        return [*a, *b]
    raise FaultError(f"{op} does not apply to {described(a)} and {described(b)}")


def compare(op: str, a: Value, b: Value) -> bool:
    """Return whether a comparison holds.  Raises: FaultError, UnsolvableError."""
    if isinstance(a, Form) or isinstance(b, Form):
        raise UnsolvableError
    if op in ("==", "!="):
        return same(a, b) == (op == "==")
    if op in ("in", "not in"):
        return _contains(a, b) == (op == "in")
    if is_number(a) and is_number(b):
        place = exact.order(_number(a), _number(b))
    elif isinstance(a, str) and isinstance(b, str):
        place = (a > b) - (a < b)
    else:
        raise FaultError(f"{op} does not apply to {described(a)} and {described(b)}")
    return {"<": place < 0, ">": place > 0, "<=": place <= 0, ">=": place >= 0}[op]


def same(a: Value, b: Value) -> bool:
    """Whether two values are equal; 1 is not true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def _contains(item: Value, holder: Value) -> bool:
    if isinstance(item, str) and isinstance(holder, str):
        return item in holder
    if isinstance(holder, list):
        return any(same(item, other) for other in holder)
    raise FaultError(f"`in` does not apply to {described(item)} and {described(holder)}")


def _bits(op: str, a: int, b: int) -> int:
    if op in ("<<", ">>"):
        if not 0 <= b < _MAX_SHIFT:
            raise FaultError(f"a shift is from 0 to {_MAX_SHIFT - 1}, not {b:,}")
        check_bits(a.bit_length() + b)
        return a << b if op == "<<" else a >> b
    return a & b if op == "&" else a | b if op == "|" else a ^ b


_MAX_SHIFT = 512


def is_numeric(value: object) -> bool:
    """Whether a value is a number, or one that depends on the unknown."""
    return is_number(value) or isinstance(value, Form)


def _number(value: object) -> Number:
    if type(value) is int or isinstance(value, Ratio):
        return value
    raise FaultError(f"a number is needed, not {described(value)}")


def form(value: object) -> Form:
    """Return a number as a form.  Raises: FaultError for anything else."""
    return value if isinstance(value, Form) else as_form(_number(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_NUMBERS: dict[str, Callable[[Number, Number], Number]] = {
    "+": exact.add,
    "-": lambda a, b: exact.add(a, exact.negative(b)),
    "*": exact.multiply,
    "/": exact.divide,
    "//": exact.floor_divide,
    "%": exact.modulo,
}
_FORMS: dict[str, Callable[[Form, Form], Form]] = {
    "+": forms.add,
    "-": lambda a, b: forms.add(a, forms.negative(b)),
    "*": forms.multiply,
    "/": forms.divide,
}
