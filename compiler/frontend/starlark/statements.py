"""Statements and targets as closures."""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.starlark import operators
from compiler.frontend.starlark.budget import ENTRY
from compiler.frontend.starlark.calls import function_maker
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.function import Variables
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.origins import Writer
from compiler.frontend.starlark.scope import BREAK, CONTINUE, Scope, Statement, Target, thread_of
from compiler.frontend.starlark.values import begin_iteration, elements_of, end_iteration, type_name

_NOTHING = (None,)


def block(scope: Scope, statements: list[Node] | tuple[Node, ...]) -> Statement:
    """Return statements that follow each other as code."""
    parts = [scope.statement(statement) for statement in statements]
    if len(parts) == 1:
        return parts[0]

    def run(variables: Variables) -> tuple[object, ...] | None:
        for part in parts:
            signal = part(variables)
            if signal is not None:
                return signal
        return None

    return run


def _suite(scope: Scope, node: Node) -> Statement:
    return block(scope, node[3:])


def _expr_stmt(scope: Scope, node: Node) -> Statement:
    value = scope.expression(node[3])

    def run(variables: Variables) -> None:
        value(variables)

    return run


def _assign(scope: Scope, node: Node) -> Statement:
    _, _, _, target, assigned = node
    put = _index_target(scope, target, assigned) if target[0] == "index" else scope.target(target)
    value = scope.expression(assigned)
    return lambda variables: put(variables, value(variables))


def _augment(scope: Scope, node: Node) -> Statement:
    _, _, _, op, target, operand = node
    value = scope.expression(operand)
    get, put = _PLACES[target[0]](scope, target, operand)

    def run(variables: Variables) -> None:
        place, before = get(variables)
        more = value(variables)
        try:
            after = operators.augmented(op, before, more, thread_of(variables).budget)
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None
        put(variables, place, after)

    return run


# A place to read and then write: the values that it was found by, evaluated once, go from one to the other.
_Get = Callable[[Variables], tuple[tuple[object, object], object]]
_Put = Callable[[Variables, tuple[object, object], object], None]
_NO_PLACE = (None, None)


def _name_place(scope: Scope, target: Node, _: Node) -> tuple[_Get, _Put]:
    read, write = scope.reader(target), scope.writer(target)
    return lambda variables: (_NO_PLACE, read(variables)), lambda variables, _, value: write(variables, value)


def _index_place(scope: Scope, target: Node, value: Node) -> tuple[_Get, _Put]:
    of, at = scope.expression(target[3]), scope.expression(target[4])
    writer = Writer(scope.span(target[4]), scope.span(value))

    def get(variables: Variables) -> tuple[tuple[object, object], object]:
        owner, key = of(variables), at(variables)
        try:
            return (owner, key), operators.index(owner, key)
        except StarlarkError as error:
            raise scope.failure(variables, error, target) from None

    def put(variables: Variables, place: tuple[object, object], value: object) -> None:
        _set_index(scope, variables, target, writer, (*place, value))

    return get, put


def _dot_place(scope: Scope, target: Node, _: Node) -> tuple[_Get, _Put]:
    read = scope.expression(target)
    refuse = _dot_target(scope, target)
    return lambda variables: (_NO_PLACE, read(variables)), lambda variables, _, value: refuse(variables, value)


_PLACES: dict[str, Callable[[Scope, Node, Node], tuple[_Get, _Put]]] = {
    "name": _name_place,
    "index": _index_place,
    "dot": _dot_place,
}


def _return(scope: Scope, node: Node) -> Statement:
    if node[3] is None:
        return lambda _: _NOTHING
    value = scope.expression(node[3])
    return lambda variables: (value(variables),)


def _if(scope: Scope, node: Node) -> Statement:
    _, _, _, *parts, last = node
    arms = [(scope.expression(parts[i]), scope.statement(parts[i + 1])) for i in range(0, len(parts), 2)]
    otherwise = None if last is None else scope.statement(last)
    truth = operators.truth

    def run(variables: Variables) -> tuple[object, ...] | None:
        for condition, body in arms:
            if truth(condition(variables)):
                return body(variables)
        return None if otherwise is None else otherwise(variables)

    return run


def _for(scope: Scope, node: Node) -> Statement:
    _, _, _, target, items, suite = node
    put, value = scope.target(target), scope.expression(items)
    nodes = scope.nodes
    body = scope.statement(suite)
    steps = scope.steps_since(nodes)

    def run(variables: Variables) -> tuple[object, ...] | None:
        step = thread_of(variables).budget.step
        over = value(variables)
        try:
            iterator = begin_iteration(over)
            try:
                for item in iterator:
                    step(steps)
                    put(variables, item)
                    signal = body(variables)
                    if signal is not None and signal is not CONTINUE:
                        if signal is BREAK:
                            break
                        return signal
            finally:
                end_iteration(over)
        except StarlarkError as error:
            raise scope.failure(variables, error, items) from None
        return None

    return run


def _def(scope: Scope, node: Node) -> Statement:
    _, _, _, name, _, body = node
    make = function_maker(scope, node, name[3], lambda: scope.statement(body))
    put = scope.writer(name)
    return lambda variables: put(variables, make(variables))


def _load(scope: Scope, node: Node) -> Statement:
    _, _, _, label, *binds = node
    names = [(bind[4], scope.writer(bind[3])) for bind in binds]

    def run(variables: Variables) -> None:
        if scope.load is None:
            raise scope.failure(variables, StarlarkError("nothing can be loaded here"), node)
        module = scope.load(label[3], scope.span(label)).globals
        for original, put in names:
            if original[3] not in module:
                raise SpecError(_not_exported(scope, label, original, list(module)))
            put(variables, module[original[3]])

    return run


def _not_exported(scope: Scope, label: Node, name: Node, known: list[str]) -> Diagnostic:
    labels = (Label(scope.span(name), "not defined there", is_primary=True), Label(scope.span(label), "loaded here"))
    near = nearest_names(name[3], known) or sorted(known)[:3]
    advice = (Help("did you mean " + " or ".join(near) + "?"),) if near else ()
    return Diagnostic("RLC0137", f"{label[3]} defines no `{name[3]}`", labels, advice)


STATEMENTS: dict[str, Callable[[Scope, Node], Statement]] = {
    "suite": _suite,
    "expr_stmt": _expr_stmt,
    "assign": _assign,
    "augment": _augment,
    "return": _return,
    "break": lambda _, __: lambda _: BREAK,
    "continue": lambda _, __: lambda _: CONTINUE,
    "pass": lambda _, __: lambda _: None,
    "if": _if,
    "for": _for,
    "def": _def,
    "load": _load,
}


def _name_target(scope: Scope, node: Node) -> Target:
    return scope.writer(node)


def _index_target(scope: Scope, node: Node, value: Node | None = None) -> Target:
    """Code that assigns `of[at]`; `value` is what is assigned, where one expression says it."""
    of, at = scope.expression(node[3]), scope.expression(node[4])
    writer = Writer(scope.span(node[4]), scope.span(node if value is None else value))

    def put(variables: Variables, value: object) -> None:
        _set_index(scope, variables, node, writer, (of(variables), at(variables), value))

    return put


def _set_index(
    scope: Scope, variables: Variables, node: Node, writer: Writer, entry: tuple[object, object, object]
) -> None:
    owner, key, value = entry
    try:
        thread = thread_of(variables)
        thread.budget.elements(1, ENTRY)
        operators.set_index(owner, key, value, writer.written(thread.frame))
    except StarlarkError as error:
        raise scope.failure(variables, error, node) from None


def _dot_target(scope: Scope, node: Node) -> Target:
    of, name = scope.expression(node[3]), node[4]

    def put(variables: Variables, _: object) -> None:
        kind = type_name(of(variables))
        raise scope.failure(variables, StarlarkError(f"cannot set the field {name[3]} of a {kind}"), node)

    return put


def _sequence_target(scope: Scope, node: Node) -> Target:
    parts = [scope.target(part) for part in node[3:]]
    wanted = len(parts)

    def put(variables: Variables, value: object) -> None:
        try:
            items = elements_of(value, thread_of(variables).budget)
            if len(items) != wanted:
                few = "few" if len(items) < wanted else "many"
                raise StarlarkError(f"too {few} values to unpack: got {len(items)}, want {wanted}")
        except StarlarkError as error:
            raise scope.failure(variables, error, node) from None
        for part, item in zip(parts, items, strict=True):
            part(variables, item)

    return put


TARGETS: dict[str, Callable[[Scope, Node], Target]] = {
    "name": _name_target,
    "index": _index_target,
    "dot": _dot_target,
    "tuple": _sequence_target,
    "list": _sequence_target,
}
