"""Expressions as closures: names, literals, operators, and places in values.

What an operator fails of is raised without a place; the node that ran it adds its own.  Operators on small integers are
decided here, since they are what loops are made of.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from compiler.frontend.starlark import operators
from compiler.frontend.starlark.budget import ELEMENT, ENTRY
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.function import Variables
from compiler.frontend.starlark.methods import attribute
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.origins import Writer
from compiler.frontend.starlark.scope import Expression, Scope, thread_of
from compiler.frontend.starlark.values import StarlarkDict, StarlarkList, hash_key

_SMALL = 2**62
_QUICK: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
}
_QUICK_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _name(scope: Scope, node: Node) -> Expression:
    return scope.reader(node)


def _constant(_: Scope, node: Node) -> Expression:
    value = node[3]
    return lambda _: value


def _tuple(scope: Scope, node: Node) -> Expression:
    items = [scope.expression(item) for item in node[3:]]

    def run(variables: Variables) -> object:
        _charge(scope, variables, node, len(items))
        return tuple([item(variables) for item in items])

    return run


def _list(scope: Scope, node: Node) -> Expression:
    items = [scope.expression(item) for item in node[3:]]

    def run(variables: Variables) -> object:
        _charge(scope, variables, node, len(items))
        return StarlarkList([item(variables) for item in items])

    return run


def _charge(scope: Scope, variables: Variables, node: Node, number: int, size: int = ELEMENT) -> None:
    """Spend what it takes to make a literal of so many elements."""
    try:
        thread_of(variables).budget.elements(number, size)
    except StarlarkError as error:
        raise scope.failure(variables, error, node) from None


def _unary(scope: Scope, node: Node) -> Expression:
    _, _, _, op, operand = node
    value = scope.expression(operand)
    if op == "not":
        truth = operators.truth
        return lambda variables: not truth(value(variables))

    def run(variables: Variables) -> object:
        operated = value(variables)
        try:
            return operators.unary(op, operated)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return run


def _binary(scope: Scope, node: Node) -> Expression:
    _, _, _, op, left, right = node
    a, b = scope.expression(left), scope.expression(right)
    quick = _QUICK.get(op)
    least = 1 if op in ("//", "%") else -_SMALL

    def run(variables: Variables) -> object:
        x, y = a(variables), b(variables)
        if quick is not None and type(x) is int and type(y) is int and -_SMALL < x < _SMALL and least <= y < _SMALL:
            return quick(x, y)
        try:
            return operators.binary(op, x, y, thread_of(variables).budget)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return run


def _compare(scope: Scope, node: Node) -> Expression:
    _, _, _, op, left, right = node
    a, b = scope.expression(left), scope.expression(right)
    if op in ("in", "not in"):
        is_wanted = op == "in"

        def look(variables: Variables) -> object:
            x, y = a(variables), b(variables)
            try:
                return operators.contains(x, y, thread_of(variables).budget) is is_wanted
            except StarlarkError as error:
                raise scope.failure(variables, error, node) from None

        return look
    quick = _QUICK_COMPARISONS[op]

    def run(variables: Variables) -> object:
        x, y = a(variables), b(variables)
        if type(x) is int and type(y) is int:
            return quick(x, y)
        try:
            return operators.compare(op, x, y, thread_of(variables).budget)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return run


def _and(scope: Scope, node: Node) -> Expression:
    a, b = scope.expression(node[3]), scope.expression(node[4])
    truth = operators.truth

    def run(variables: Variables) -> object:
        value = a(variables)
        return b(variables) if truth(value) else value

    return run


def _or(scope: Scope, node: Node) -> Expression:
    a, b = scope.expression(node[3]), scope.expression(node[4])
    truth = operators.truth

    def run(variables: Variables) -> object:
        value = a(variables)
        return value if truth(value) else b(variables)

    return run


def _conditional(scope: Scope, node: Node) -> Expression:
    so, condition, otherwise = (scope.expression(part) for part in node[3:])
    truth = operators.truth
    return lambda variables: so(variables) if truth(condition(variables)) else otherwise(variables)


def _dot(scope: Scope, node: Node) -> Expression:
    _, _, _, value, name = node
    of, text = scope.expression(value), name[3]

    def run(variables: Variables) -> object:
        owner = of(variables)
        try:
            return attribute(owner, text)
        except StarlarkError as error:
            raise scope.failure(variables, error, name) from None

    return run


def _index(scope: Scope, node: Node) -> Expression:
    of, at = scope.expression(node[3]), scope.expression(node[4])

    def run(variables: Variables) -> object:
        owner, key = of(variables), at(variables)
        try:
            return operators.index(owner, key)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return run


def _slice(scope: Scope, node: Node) -> Expression:
    of = scope.expression(node[3])
    low, high, step = (_absent if part is None else scope.expression(part) for part in node[4:])

    def run(variables: Variables) -> object:
        owner = of(variables)
        bounds = low(variables), high(variables), step(variables)
        try:
            return operators.slice_value(owner, *bounds, thread_of(variables).budget)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return run


def _absent(_: Variables) -> object:
    return None


def _dict(scope: Scope, node: Node) -> Expression:
    entries: list[tuple[Node, Expression, Expression, Writer]] = []
    for entry in node[3:]:
        key, value = scope.expression(entry[3]), scope.expression(entry[4])
        entries.append((entry[3], key, value, Writer(scope.span(entry[3]), scope.span(entry[4]))))

    def run(variables: Variables) -> object:
        made = StarlarkDict()
        thread = thread_of(variables)
        _charge(scope, variables, node, len(entries), ENTRY)
        for place, key, value, writer in entries:
            name, held = key(variables), value(variables)
            try:
                if (name if type(name) is str else hash_key(name)) in made.entries:
                    raise StarlarkError(f"duplicate key: {shown(name)} is in the dict already")
                made.write(name, held, writer.written(thread.frame))
            except StarlarkError as error:
                raise scope.failure(variables, error, place) from None
        return made

    return run


MAKERS: dict[str, Callable[[Scope, Node], Expression]] = {
    "name": _name,
    "int": _constant,
    "float": _constant,
    "string": _constant,
    "bytes": _constant,
    "tuple": _tuple,
    "list": _list,
    "dict": _dict,
    "unary": _unary,
    "binary": _binary,
    "compare": _compare,
    "and": _and,
    "or": _or,
    "conditional": _conditional,
    "dot": _dot,
    "index": _index,
    "slice": _slice,
}
