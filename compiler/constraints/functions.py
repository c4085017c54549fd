"""The functions of expressions over fields: those of Starlark that say something about numbers, texts and lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from compiler.constraints import arithmetic, exact
from compiler.constraints.arithmetic import FaultError, described, is_number, said
from compiler.constraints.exact import Number
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.values import size_of_range
from compiler.ir.equations import Ratio

if TYPE_CHECKING:
    from compiler.constraints.evaluate import Value

Function = Callable[["list[Value]", Budget], "Value"]

_MOST = 10_000


def _only(name: str, given: list[Value]) -> Value:
    if len(given) != 1:
        raise FaultError(f"{name} takes one argument, not {len(given)}")
    return given[0]


def _list(name: str, value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    raise FaultError(f"{name} takes a list, not {described(value)}")


def _number(name: str, value: Value) -> Number:
    if type(value) is int or isinstance(value, Ratio):
        return value
    raise FaultError(f"{name} takes numbers, not {described(value)}")


def _extreme(name: str, op: str) -> Function:
    def choose(given: list[Value], budget: Budget) -> Value:
        items = _list(name, given[0]) if len(given) == 1 else given
        if not items:
            raise FaultError(f"{name} of nothing")
        budget.elements(len(items))
        found = items[0]
        for item in items[1:]:
            if arithmetic.compare(op, item, found):
                found = item
        return found

    return choose


def _len(given: list[Value], _: Budget) -> Value:
    value = _only("len", given)
    return len(value) if isinstance(value, str) else len(_list("len", value))


def _abs(given: list[Value], _: Budget) -> Value:
    number = _number("abs", _only("abs", given))
    return exact.negative(number) if exact.order(number, 0) < 0 else number


def _sum(given: list[Value], budget: Budget) -> Value:
    items = _list("sum", _only("sum", given))
    budget.elements(len(items))
    total: Number = 0
    for item in items:
        total = exact.add(total, _number("sum", item))
    return total


def _int(given: list[Value], _: Budget) -> Value:
    number = _number("int", _only("int", given))
    return exact.floor(number) if exact.order(number, 0) >= 0 else -exact.floor(exact.negative(number))


def _float(given: list[Value], _: Budget) -> Value:
    return _number("float", _only("float", given))


def _bool(given: list[Value], _: Budget) -> Value:
    return bool(_only("bool", given))


def _str(given: list[Value], budget: Budget) -> Value:
    value = _only("str", given)
    if isinstance(value, str):
        return value
    text = said(value).replace(",", "") if is_number(value) else said(value)
    budget.allocate(len(text))
    return text


def _any(given: list[Value], _: Budget) -> Value:
    return any(bool(item) for item in _list("any", _only("any", given)))


def _all(given: list[Value], _: Budget) -> Value:
    return all(bool(item) for item in _list("all", _only("all", given)))


def _range(given: list[Value], budget: Budget) -> Value:
    bounds = [number for number in given if type(number) is int]
    if len(bounds) != len(given) or not 1 <= len(bounds) <= 3 or bounds[2:] == [0]:
        raise FaultError("range takes one, two or three whole numbers")
    found = range(*bounds)
    size = size_of_range(found)
    if size > _MOST:
        raise FaultError(f"a range has at most {_MOST:,} elements here")
    budget.elements(size)
    return list(found)


FUNCTIONS: dict[str, Function] = {
    "abs": _abs,
    "all": _all,
    "any": _any,
    "bool": _bool,
    "float": _float,
    "int": _int,
    "len": _len,
    "max": _extreme("max", ">"),
    "min": _extreme("min", "<"),
    "range": _range,
    "str": _str,
    "sum": _sum,
}
