"""Comprehensions as closures: loops that collect."""

from __future__ import annotations

from collections.abc import Callable

from compiler.frontend.starlark import operators
from compiler.frontend.starlark.budget import ENTRY
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.function import Variables
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.origins import Writer
from compiler.frontend.starlark.scope import Expression, Scope, thread_of
from compiler.frontend.starlark.values import StarlarkDict, StarlarkList, begin_iteration, end_iteration

# The rest of a comprehension, run with the list or dict that it fills.
_Collect = Callable[[Variables, "list[object] | StarlarkDict"], None]


def _list_comp(scope: Scope, node: Node) -> Expression:
    nodes = scope.nodes
    element = scope.expression(node[3])

    def collect(variables: Variables, found: list[object] | StarlarkDict) -> None:
        assert type(found) is list
        found.append(element(variables))

    fill = _clauses(scope, node[4:], collect, nodes)

    def run(variables: Variables) -> object:
        found: list[object] = []
        fill(variables, found)
        return StarlarkList(found)

    return run


def _dict_comp(scope: Scope, node: Node) -> Expression:
    _, _, _, entry, *clauses = node
    nodes = scope.nodes
    key, value = scope.expression(entry[3]), scope.expression(entry[4])
    writer = Writer(scope.span(entry[3]), scope.span(entry[4]))

    def collect(variables: Variables, found: list[object] | StarlarkDict) -> None:
        assert type(found) is StarlarkDict
        name, held = key(variables), value(variables)
        thread = thread_of(variables)
        try:
            thread.budget.elements(1, ENTRY)
            found.write(name, held, writer.written(thread.frame))
        except StarlarkError as error:
            raise scope.failure(variables, error, entry[3]) from None

    fill = _clauses(scope, clauses, collect, nodes)

    def run(variables: Variables) -> object:
        found = StarlarkDict()
        fill(variables, found)
        return found

    return run


def _clauses(scope: Scope, clauses: list[Node] | tuple[Node, ...], collect: _Collect, nodes: int) -> _Collect:
    """The loops and conditions around what collects; `nodes` is how many were made before it."""
    for clause in reversed(clauses):
        if clause[0] == "for_clause":
            collect = _loop(scope, clause, collect, scope.steps_since(nodes))
            nodes = scope.nodes
        else:
            collect = _filter(scope, clause, collect)
    return collect


def _filter(scope: Scope, clause: Node, collect: _Collect) -> _Collect:
    condition = scope.expression(clause[3])
    truth = operators.truth

    def run(variables: Variables, found: list[object] | StarlarkDict) -> None:
        if truth(condition(variables)):
            collect(variables, found)

    return run


def _loop(scope: Scope, clause: Node, collect: _Collect, steps: int) -> _Collect:
    _, _, _, target, items = clause
    put, value = scope.target(target), scope.expression(items)

    def run(variables: Variables, found: list[object] | StarlarkDict) -> None:
        step = thread_of(variables).budget.step
        over = value(variables)
        try:
            iterator = begin_iteration(over)
            try:
                for item in iterator:
                    step(steps)
                    put(variables, item)
                    collect(variables, found)
            finally:
                end_iteration(over)
        except StarlarkError as error:
            raise scope.failure(variables, error, items) from None

    return run


MAKERS: dict[str, Callable[[Scope, Node], Expression]] = {"list_comp": _list_comp, "dict_comp": _dict_comp}
