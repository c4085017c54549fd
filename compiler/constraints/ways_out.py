"""Ways out of a requirement that does not hold: solved, tried, at most three, the user's own fields changed last.

Each candidate is a value of one field that makes the requirement hold; it is offered only if the experiment, resolved
again with it, breaks nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from compiler.constraints.equations import legal, only_unknown, settable, solved
from compiler.constraints.evaluate import OpenFieldError, Surroundings, evaluate, plain_value
from compiler.constraints.statements import Statement
from compiler.diagnostics.diagnostic import Help, SpecError, alternatives
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.starlark.nodes import Node
from compiler.ir.equations import EQUATIONS
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.record import Field
from compiler.ir.subject import Subject, toml_literal
from compiler.lowering.scalars import out_of_bounds

REACH = 4096
_FARTHEST = 2**62
_MOST_TRIED = 12
_MOST = 3
_RANK = {"default": 0, "assumed": 0, "derived": 0, "inherited": 0, "recipe": 1, "spec": 2, "shrunk": 3, "override": 4}

Plain = int | float | str | bool


class Change(NamedTuple):
    """A value for a field, and what the field is then derived as that the requirement leaves open."""

    values: Mapping[str, Plain]
    derived: Mapping[str, Plain] = {}


class Searcher(NamedTuple):
    """Finds ways out for statements of one subject; `is_better` tries a change."""

    subject: Subject
    around: Callable[[Statement], Surroundings]
    is_better: Callable[[Statement, Mapping[str, object]], bool]

    def ways_out(self, statement: Statement, node: Node) -> tuple[Help, ...]:
        """Return helps for one part of a statement, which does not hold or leaves one field undecided."""
        found: list[Help] = []
        for change in islice(self._changes(statement, node), _MOST_TRIED):
            for tried in (change, *self._with_another(statement, change)):
                everywhere = {twin: value for path, value in tried.values.items() for twin in self._twins(path)}
                if self.is_better(statement, everywhere):
                    found.append(self._help(tried))
                    break
            if len(found) == _MOST:
                break
        return alternatives(*found)

    def _changes(self, statement: Statement, node: Node) -> Iterator[Change]:
        around = self.around(statement)
        paths = [p for p in reversed(statement.paths_of(node)) if settable(self.subject.experiment, p)]
        paths.sort(key=self._rank)
        free = only_unknown(statement, node, around.names)
        if free is not None:
            yield from self._moves(statement, node, [p for p in paths if p != free], free=free)
            return
        is_any = False
        for path in paths:
            for value in _values(statement, node, around, path=path, field=_field(self.subject.experiment, path)):
                is_any = True
                yield from self._behind(path, value)
                yield Change({path: value})
        if not is_any and node[0] == "compare" and node[3] == "==":
            for free in paths:
                for change in self._moves(statement, node, [p for p in paths if p != free], free=free):
                    yield Change({**change.values, **change.derived})

    def _behind(self, path: str, value: Plain) -> Iterator[Change]:
        """Of a field that a built-in equation derives: each field behind it, so that it is derived as a value."""
        origin = self.subject.origins.get(path)
        for equation in EQUATIONS if origin is not None and origin.kind == "derived" else ():
            if origin is not None and origin.by == equation.name:
                yield from (Change({other: solution}, {path: value}) for other, solution in self._balanced(path, value))

    def _with_another(self, statement: Statement, change: Change) -> Iterator[Change]:
        """A change with one of another field that keeps a built-in equation."""
        if len(change.values) > 1 or change.derived:
            return
        ((path, value),) = change.values.items()
        if any(True for _ in self._behind(path, value)):
            return
        for other, solution in self._balanced(path, value):
            if other not in statement.paths:
                yield Change({path: value, other: solution})

    def _balanced(self, path: str, value: Plain) -> Iterator[tuple[str, int]]:
        """Other fields of the built-in equations of a field, each with what keeps the equation; the user's own last."""
        if not path.startswith("stages.") or type(value) is not int or value < 1:
            return
        _, index, field = path.split(".", 2)
        stage, prefix = self.subject.experiment.stages[int(index)], f"stages.{index}."
        for equation in EQUATIONS:
            known = {**equation.factors(stage), field: value}
            if field not in equation.fields or None in known.values() or 0 in known.values():
                continue
            others = sorted(
                (f for f in reversed(equation.fields) if f in known and f != field),
                key=lambda f: self._rank(f"{prefix}{f}"),
            )
            for other in others:
                solution = equation.solve(other, {f: v for f, v in known.items() if f != other}).whole
                if solution is not None and solution != known[other]:
                    yield f"{prefix}{other}", solution

    def _moves(self, statement: Statement, node: Node, paths: list[str], *, free: str) -> Iterator[Change]:
        """Each field at its nearest value that lets another one be solved."""
        around = self.around(statement)
        wanted = _field(self.subject.experiment, free)
        for path in paths:
            start, field = _whole(around, path), _field(self.subject.experiment, path)
            for value in () if start is None else _near(start, field):
                numbers = solved(statement, node, around._replace(changed={path: value}), path=free)
                solution = next((v for n in numbers or () if (v := legal(wanted, n)) is not None), None)
                if solution is not None:
                    yield Change({path: value}, {free: solution})
                    break

    def _help(self, change: Change) -> Help:
        sets = tuple((self.subject.shown(path), toml_literal(value)) for path, value in change.values.items())
        text = "set " + " and ".join(f"{shown} = {literal}" for shown, literal in sets)
        for path, value in change.derived.items():
            text += f": {self.subject.shown(path)} is then derived as {value}"
        return Help(text, sets)

    def _twins(self, path: str) -> tuple[str, ...]:
        """The same field of all stages that share the place where it is written."""
        if path not in self.subject.shared:
            return (path,)
        rest = path.split(".", 2)[2]
        others = (f"stages.{index}.{rest}" for index in range(len(self.subject.experiment.stages)))
        return tuple(other for other in others if other in self.subject.shared)

    def _rank(self, path: str) -> int:
        origin = self.subject.origins.get(path)
        if origin is None:
            return 0
        return _RANK["spec"] if origin.key is not None and origin.kind == "derived" else _RANK[origin.kind]


def _values(statement: Statement, node: Node, around: Surroundings, *, path: str, field: Field) -> Iterator[Plain]:
    """Values of one field that make a part of a statement hold, the best first."""

    def holds(value: Plain) -> bool:
        try:
            return evaluate(statement.expression, around._replace(changed={path: value}), node) is True
        except (SpecError, OpenFieldError):
            return False

    op = node[3] if node[0] == "compare" else ""
    if op in ("==", "<=", ">="):
        numbers = solved(statement, node, around, path=path)
        exact = [v for n in numbers or () if (v := legal(field, n)) is not None and holds(v)]
        yield from exact
        if exact or (numbers is not None and op == "=="):
            return
    start = _whole(around, path)
    types = {atom.name for atom in field.kind.values}
    if start is not None and not types.isdisjoint(("int", "Tokens", "Bytes")):
        found = _edges(start, field, holds) if op in ("<", "<=", ">", ">=") else _nearest(start, field, holds)
        yield from found
        return
    for choice in (choice for atom in field.kind.values for choice in atom.choices):
        if holds(choice):
            yield choice
    now = around.names.value(path)
    if isinstance(now, bool) and holds(not now):
        yield not now


def _edges(start: int, field: Field, holds: Callable[[Plain], bool]) -> Iterator[int]:
    """The values nearest to one, on either side, from which on a comparison holds."""
    for sign in (-1, 1):
        before, step = start, 1
        while step < _FARTHEST:
            value = _within(field, start + sign * step)
            if value is None or value == before:
                break
            if holds(value):
                yield _first(before, value, holds)
                break
            before, step = value, step * 2


def _first(outside: int, inside: int, holds: Callable[[Plain], bool]) -> int:
    """The value nearest to `outside` that holds, as far as what lies between changes once."""
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        outside, inside = (outside, middle) if holds(middle) else (middle, inside)
    return inside


def _nearest(start: int, field: Field, holds: Callable[[Plain], bool]) -> Iterator[int]:
    """The nearest value that holds, and the nearest on the other side of where it stands."""
    found: set[int] = set()
    for value in _near(start, field):
        sign = 1 if value > start else -1
        if sign not in found and holds(value):
            found.add(sign)
            yield value
        if len(found) == 2:
            return


def _near(start: int, field: Field) -> Iterator[int]:
    for distance in range(1, REACH):
        for value in (start - distance, start + distance):
            if out_of_bounds(field, value) is None:
                yield value


def _within(field: Field, value: int) -> int | None:
    """A value, or the bound that it lies beyond."""
    bound = out_of_bounds(field, value)
    if bound is None:
        return value
    limits = {"ge": 0, "gt": 1, "le": 0, "lt": -1}
    for op, limit in field.bounds:
        edge = int(limit) + limits[op]
        if out_of_bounds(field, edge) is None and (edge > value) == (op in ("ge", "gt")):
            return edge
    return None


def _whole(around: Surroundings, path: str) -> int | None:
    held = around.names.value(path)
    value = None if isinstance(held, Auto) else plain_value(path, held)
    return value if type(value) is int else None


def _field(experiment: Experiment[Auto], path: str) -> Field:
    field = settable(experiment, path)
    assert field is not None, "only what a spec can set is tried"
    return field
