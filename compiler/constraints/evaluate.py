"""Expressions over fields, evaluated: exact numbers, true and false, texts, lists.

The grammar is that of Starlark, and so is the meaning, but for one thing: numbers are exact, so that `/` gives a
fraction and never a rounding.  One field may be unknown; a number that depends on it is a Form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from compiler.constraints import arithmetic
from compiler.constraints.arithmetic import FaultError
from compiler.constraints.exact import Number, exact
from compiler.constraints.expression import Expression
from compiler.constraints.forms import UNKNOWN, Form, UnsolvableError
from compiler.constraints.functions import FUNCTIONS
from compiler.constraints.names import FORECAST, AbsentError, Names, Part, UnknownNameError, is_table
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.nodes import Node
from compiler.ir.catalogue import Catalogue
from compiler.ir.openness import Auto, Off
from compiler.ir.record import Record

UNKNOWN_NAME, FAILS = "RLC0221", "RLC0225"

MAX_STEPS = 100_000


class TableValue(NamedTuple):
    """A record, or a list of records: only its fields and its length are of use."""

    path: str
    held: object


Value: TypeAlias = "Number | Form | bool | str | list[Value] | TableValue | None"


class OpenFieldError(Exception):
    """A field that nobody has decided yet."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Use(NamedTuple):
    """A field that an expression names: its internal path, and the node that names it."""

    path: str
    node: Node


class Surroundings(NamedTuple):
    """What an expression is evaluated in.

    `changed` are values that take the place of fields' own, by path; `unknown` is the path of a field to be solved for.
    """

    names: Names
    catalogue: Catalogue
    changed: Mapping[str, object] = {}
    unknown: str = ""


def evaluate(expression: Expression, around: Surroundings, node: Node | None = None) -> Value:
    """Return the value of an expression, or of one node of it.

    Raises: SpecError RLC0221 for an unknown name and RLC0225 for what fails, OpenFieldError, AbsentError for a field
    that only other stages have, UnsolvableError for what an unknown field cannot be used for.
    """
    return _Evaluation(expression, around).value(expression.tree if node is None else node)


def uses(expression: Expression, around: Surroundings, node: Node | None = None) -> tuple[Use, ...]:
    """Return the fields that an expression names, in the order of the text.  Raises: SpecError, AbsentError."""
    walk = _Evaluation(expression, around)
    return tuple(walk.uses(expression.tree if node is None else node, frozenset()))


class _Evaluation:
    def __init__(self, expression: Expression, around: Surroundings) -> None:
        self.expression = expression
        self.around = around
        self.budget = Budget(steps=MAX_STEPS)
        self.bound: dict[str, Value] = {}

    def value(self, node: Node) -> Value:
        evaluated = _NODES.get(node[0])
        if evaluated is None:
            raise self.fault(node, f"an expression over fields has no {_WORDS.get(node[0], node[0])}")
        try:
            self.budget.step()
            return evaluated(self, node)
        except (FaultError, StarlarkError) as error:
            raise self.fault(node, str(error), getattr(error, "code", FAILS)) from None
        except ZeroDivisionError:
            raise self.fault(node, "division by zero") from None

    # Names

    def named(self, node: Node) -> Value:
        base = _base(node)
        if base is None:
            return self.part(self.value(node[3]), node)
        if base[3] in self.bound or (base is node and base[3] in ("True", "False", "None")):
            if base is not node:
                return self.part(self.value(node[3]), node)
            return self.bound[base[3]] if base[3] in self.bound else _CONSTANTS[base[3]]
        nodes = tuple(_steps(node))
        path = self.path(nodes, self.parts(nodes))
        return self.held(path, self.around.names.value(path))

    def part(self, holder: Value, node: Node) -> Value:
        key = self.key(node)
        if isinstance(holder, list) and isinstance(key, int):
            if not -len(holder) <= key < len(holder):
                raise FaultError(f"there is no element {key}: the list has {len(holder)}")
            return holder[key]
        if isinstance(holder, TableValue):
            found = holder.held
            if isinstance(found, tuple) and isinstance(key, int) and -len(found) <= key < len(found):
                index = key % len(found)
                return self.held(f"{holder.path}.{index}", found[index])
            if isinstance(found, Record) and key in found.__dict__:
                return self.held(f"{holder.path}.{key}", found.__dict__[str(key)])
        raise FaultError(f"{arithmetic.described(holder)} has no {key}")

    def key(self, node: Node) -> Part:
        if node[0] == "dot":
            return str(node[4][3])
        key = self.value(node[4])
        if isinstance(key, str) or type(key) is int:
            return key
        raise FaultError(f"an index is a whole number or a name, not {arithmetic.described(key)}")

    def parts(self, nodes: tuple[Node, ...]) -> tuple[Part, ...]:
        return tuple(node[3] if node[0] == "name" else self.key(node) for node in nodes)

    def path(self, nodes: tuple[Node, ...], parts: tuple[Part, ...]) -> str:
        names, catalogue = self.around.names, self.around.catalogue
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
        try:
            return names.path(parts, catalogue)
        except AbsentError:
            raise AbsentError(shown, self.expression.span(nodes[-1])) from None
        except UnknownNameError as unknown:
            wrong = nodes[unknown.at]
            at = wrong if wrong[0] == "name" else wrong[4]
            ways = tuple(Help(f"did you mean {name}?") for name in names.nearest(parts, catalogue))
            if parts[0] == FORECAST:
                ways = ways or (Help("what is forecast is known to a policy, which only checks"),)
            if not ways and len(names.experiment.stages) > 1 and names.stage is None:
                ways = (Help(f"name the stage: stages.{names.experiment.stages[0].name}.{shown}"),)
            label = Label(self.expression.span(at), "no field of this name", is_primary=True)
            raise SpecError(Diagnostic(UNKNOWN_NAME, f"there is no field {shown}", (label,), ways)) from None

    def held(self, path: str, value: object) -> Value:
        if path == self.around.unknown:
            return UNKNOWN
        value = self.around.changed.get(path, value)
        if isinstance(value, Auto):
            raise OpenFieldError(path)
        return plain_value(path, value)

    def uses(self, node: Node, bound: frozenset[str]) -> Iterator[Use]:
        base = _base(node) if node[0] in ("name", "dot", "index") else None
        if base is not None and base[3] not in bound and base[3] not in _CONSTANTS:
            known: list[Node] = []
            for step in _steps(node):
                if step[0] == "index" and step[4][0] not in ("int", "string"):
                    yield from self.uses(step[4], bound)
                    break
                known.append(step)
            nodes = tuple(known)
            yield Use(self.path(nodes, self.parts(nodes)), nodes[-1])
            return
        if node[0] == "list_comp":
            for clause in node[4:]:
                if clause[0] == "for_clause" and clause[3][0] == "name":
                    yield from self.uses(clause[4], bound)
                    bound = bound | {clause[3][3]}
                else:
                    yield from self.uses(clause, bound)
            yield from self.uses(node[3], bound)
            return
        skipped = 1 if node[0] == "call" and node[3][0] == "name" else 0
        if node[0] in ("keyword", "dot"):
            yield from self.uses(node[4] if node[0] == "keyword" else node[3], bound)
            return
        for part in node[3 + skipped :]:
            if isinstance(part, tuple):
                yield from self.uses(part, bound)

    # Operators

    def unary(self, node: Node) -> Value:
        operand = self.value(node[4])
        return not self.truth(operand) if node[3] == "not" else arithmetic.unary(node[3], operand)

    def binary(self, node: Node) -> Value:
        return arithmetic.binary(node[3], self.value(node[4]), self.value(node[5]), self.budget)

    def compare(self, node: Node) -> Value:
        return arithmetic.compare(node[3], self.value(node[4]), self.value(node[5]))

    def both(self, node: Node) -> Value:
        first = self.value(node[3])
        is_true = self.truth(first)
        return (
            (self.value(node[4]) if is_true else first)
            if node[0] == "and"
            else first
            if is_true
            else self.value(node[4])
        )

    def conditional(self, node: Node) -> Value:
        return self.value(node[3] if self.truth(self.value(node[4])) else node[5])

    def truth(self, value: Value) -> bool:
        if isinstance(value, Form):
            raise UnsolvableError
        return value if isinstance(value, bool) else bool(value)

    # Lists and calls

    def items(self, node: Node) -> Value:
        self.budget.elements(len(node))
        return [self.value(part) for part in node[3:]]

    def comprehension(self, node: Node) -> Value:
        found: list[Value] = []
        before = dict(self.bound)
        self.clause(node, 4, found)
        self.bound = before
        return found

    def clause(self, node: Node, at: int, found: list[Value]) -> None:
        if at == len(node):
            self.budget.elements(1)
            found.append(self.value(node[3]))
            return
        clause = node[at]
        if clause[0] == "if_clause":
            if self.truth(self.value(clause[3])):
                self.clause(node, at + 1, found)
            return
        if clause[3][0] != "name":
            raise self.fault(clause[3], "a loop over fields has one variable")
        for item in elements(self.value(clause[4])):
            self.budget.step()
            self.bound[clause[3][3]] = item
            self.clause(node, at + 1, found)

    def call(self, node: Node) -> Value:
        called, *given = node[3:]
        if any(argument[0] in ("keyword", "star_arg", "kwargs_arg") for argument in given):
            raise FaultError("a function over fields takes its arguments by position")
        function = FUNCTIONS.get(called[3]) if called[0] == "name" else None
        if function is None:
            label = Label(self.expression.span(called), "no function of expressions", is_primary=True)
            way = Help(f"there are: {', '.join(FUNCTIONS)}")
            message = f"`{self.expression.words(called)}` is no function here"
            raise SpecError(Diagnostic(UNKNOWN_NAME, message, (label,), (way,)))
        arguments = [self.value(argument) for argument in given]
        if any(isinstance(argument, Form) for argument in arguments):
            raise UnsolvableError
        return function([self.listed(argument) for argument in arguments], self.budget)

    def listed(self, value: Value) -> Value:
        return list(elements(value)) if isinstance(value, TableValue) and isinstance(value.held, tuple) else value

    def fault(self, node: Node, message: str, code: str = FAILS) -> SpecError:
        label = Label(self.expression.span(node), "fails here", is_primary=True)
        return SpecError(Diagnostic(code, message, (label,)))


def plain_value(path: str, value: object) -> Value:
    """Return a field's value as expressions know it: "off" is a text, as in a spec."""
    if isinstance(value, Off):
        return "off"
    if isinstance(value, float):
        return exact(value)
    if is_table(value):
        return TableValue(path, value)
    if isinstance(value, tuple):
        return [plain_value(path, item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise FaultError(f"{path} is nothing that an expression can use")


def elements(value: Value) -> Iterator[Value]:
    """Yield the elements of a list.  Raises: FaultError for anything else."""
    if isinstance(value, TableValue) and isinstance(value.held, tuple):
        for index, item in enumerate(value.held):
            yield TableValue(f"{value.path}.{index}", item)
    elif isinstance(value, list):
        yield from value
    else:
        raise FaultError(f"{arithmetic.described(value)} is no list")


def _base(node: Node) -> Node | None:
    """The name that a chain of dots and indices begins with."""
    while node[0] in ("dot", "index"):
        node = node[3]
    return node if node[0] == "name" else None


def _steps(node: Node) -> list[Node]:
    return [node] if node[0] == "name" else [*_steps(node[3]), node]


_CONSTANTS: Final[Mapping[str, Value]] = {"True": True, "False": False, "None": None}

_NODES: Mapping[str, Callable[[_Evaluation, Node], Value]] = {
    "name": _Evaluation.named,
    "dot": _Evaluation.named,
    "index": _Evaluation.named,
    "int": lambda _, node: node[3],
    "float": lambda _, node: exact(node[3]),
    "string": lambda _, node: node[3],
    "unary": _Evaluation.unary,
    "binary": _Evaluation.binary,
    "compare": _Evaluation.compare,
    "and": _Evaluation.both,
    "or": _Evaluation.both,
    "conditional": _Evaluation.conditional,
    "tuple": _Evaluation.items,
    "list": _Evaluation.items,
    "list_comp": _Evaluation.comprehension,
    "call": _Evaluation.call,
}

_WORDS = {
    "dict": "dicts",
    "dict_comp": "dicts",
    "lambda": "lambda",
    "bytes": "bytes",
    "slice": "slices",
}
