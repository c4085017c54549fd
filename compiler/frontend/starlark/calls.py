"""Calls and the making of functions, as closures."""

from __future__ import annotations

from collections.abc import Callable

from compiler.frontend.starlark.budget import ENTRY
from compiler.frontend.starlark.errors import DEPTH, BudgetError, StarlarkError
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.function import UNBOUND, Body, Code, Function, Variables
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.scope import Expression, Scope, thread_of
from compiler.frontend.starlark.thread import CallSite
from compiler.frontend.starlark.values import StarlarkDict, elements_of, type_name

_TOO_DEEP = "calls and expressions are nested too deeply"


def _call(scope: Scope, node: Node) -> Expression:
    called = scope.expression(node[3])
    site = CallSite(scope.source, node)
    positional: list[Expression] = []
    keywords: list[tuple[str, Expression]] = []
    star = stars = None
    for argument in node[4:]:
        if argument[0] == "keyword":
            keywords.append((argument[3][3], scope.expression(argument[4])))
        elif argument[0] == "star_arg":
            star = argument, scope.expression(argument[3])
        elif argument[0] == "kwargs_arg":
            stars = argument, scope.expression(argument[3])
        else:
            positional.append(scope.expression(argument))

    def plain(variables: Variables) -> object:
        function = called(variables)
        args = [argument(variables) for argument in positional] if positional else []
        kwargs = {name: value(variables) for name, value in keywords} if keywords else {}
        thread = thread_of(variables)
        try:
            return thread.call_from(site, function, args, kwargs)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None
        except RecursionError:
            # Python's stack is the shorter bound where deep expressions hold deep calls; whoever has room says so.
            raise scope.failure(variables, BudgetError(DEPTH, _TOO_DEEP), node) from None

    def unpacking(variables: Variables) -> object:
        function = called(variables)
        args = [argument(variables) for argument in positional]
        kwargs = {name: value(variables) for name, value in keywords}
        thread = thread_of(variables)
        here = site
        if star is not None:
            args += _unpacked(scope, variables, *star)
        if stars is not None:
            more = stars[1](variables)
            try:
                thread.budget.elements(len(more.entries) if type(more) is StarlarkDict else 0, ENTRY)
                here = _add_keywords(kwargs, more, site)
            except StarlarkError as error:
                raise scope.failure(variables, error, stars[0]) from None
        try:
            return thread.call_from(here, function, args, kwargs)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None

    return plain if star is None and stars is None else unpacking


def _unpacked(scope: Scope, variables: Variables, argument: Node, value: Expression) -> list[object]:
    items = value(variables)
    try:
        found = elements_of(items, thread_of(variables).budget)
    except StarlarkError as error:
        raise scope.failure(variables, error, argument) from None
    return found


def _add_keywords(kwargs: dict[str, object], more: object, site: CallSite) -> CallSite:
    if type(more) is not StarlarkDict:
        raise StarlarkError(f"the argument after ** must be a dict, not {type_name(more)}")
    for name, value in more.items():
        if type(name) is not str:
            raise StarlarkError(f"keywords must be strings, not {shown(name)}")
        if name in kwargs:
            raise StarlarkError(f"multiple values for keyword argument {shown(name)}: duplicate keyword")
        kwargs[name] = value
    return site.forwarding(more.origins)


def _lambda(scope: Scope, node: Node) -> Expression:
    body = node[-1]

    def make_body() -> Body:
        value = scope.expression(body)
        return lambda variables: (value(variables),)

    return function_maker(scope, node, "lambda", make_body)


def function_maker(scope: Scope, node: Node, name: str, make_body: Callable[[], Body]) -> Expression:
    """Return code that makes a function as a value: its defaults are evaluated there and then, once."""
    layout = scope.resolution.layouts[node[1]]
    kinds: list[tuple[str, str]] = []
    defaults: list[Expression | None] = []
    for parameter in node[-2][3:]:
        kind, named = parameter[0], parameter[3]
        kinds.append(("*" if named is None else kind, "" if named is None else named[3]))
        if kind == "param":
            defaults.append(None if parameter[4] is None else scope.expression(parameter[4]))

    def measured() -> tuple[Body, int]:
        nodes = scope.nodes
        return make_body(), scope.steps_since(nodes)

    code = Code(name, kinds, layout, measured)
    captured = [outer for outer, _ in layout.captured]

    def run(variables: Variables) -> object:
        values = tuple([UNBOUND if default is None else default(variables) for default in defaults])
        return Function(code, values, tuple([variables[slot] for slot in captured]))

    return run


MAKERS: dict[str, Callable[[Scope, Node], Expression]] = {"call": _call, "lambda": _lambda}
