"""Equations that a spec states, solved for the one field in them that is left to the compiler.

Only what may be "auto" is ever solved for, only while nobody has decided it, and only exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.constraints import forms
from compiler.constraints.arithmetic import form, is_numeric
from compiler.constraints.evaluate import OpenFieldError, Surroundings, evaluate
from compiler.constraints.exact import Number, exact, parts, to_float
from compiler.constraints.forms import UnsolvableError
from compiler.constraints.names import Names
from compiler.constraints.statements import Setting, Statement
from compiler.diagnostics.diagnostic import SpecError
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.nodes import Node
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import fields_on_the_way, replaced
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.record import Field
from compiler.lowering.scalars import out_of_bounds


class Equations:
    """The equalities of all statements."""

    def __init__(self, statements: Sequence[Statement], setting: Setting) -> None:
        self.setting = setting
        self.all = [(statement, node) for statement in statements for node in statement.equations()]

    def solve_one(self, experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto] | None:
        """Return the experiment with one more field decided, or None where no equation decides any."""
        for statement, node in self.all:
            names = self.setting.names(experiment, statement.stage)
            path = only_unknown(statement, node, names)
            field = None if path is None else settable(experiment, path, derives=True)
            if path is None or field is None:
                continue
            for number in solved(statement, node, Surroundings(names, self.setting.catalogue), path=path) or ():
                value = legal(field, number)
                if value is not None:
                    others = tuple(p for p in statement.paths_of(node) if p != path)
                    at = statement.requirement
                    origins.record(path, Origin("derived", at.span, by=at.text, inputs=others, calls=at.calls))
                    return replaced(experiment, path, value)
        return None


def open_paths(paths: Sequence[str], names: Names) -> tuple[str, ...]:
    """Return those paths whose fields nobody has decided."""
    return tuple(path for path in paths if isinstance(names.value(path), Auto))


def only_unknown(statement: Statement, node: Node, names: Names) -> str | None:
    """Return the path of the only undecided field of an equation, if there is exactly one."""
    found = open_paths(statement.paths_of(node), names)
    return found[0] if len(found) == 1 else None


def settable(experiment: Experiment[Auto], path: str, *, derives: bool = False) -> Field | None:
    """Return the field at a path if a spec can set it.

    Args:
        derives: whether the compiler has to be allowed to set it too.
    """
    try:
        chain = tuple(fields_on_the_way(experiment, path))
    except (KeyError, IndexError):
        return None
    if not chain or any(field.is_derived for field in chain) or (derives and not chain[-1].kind.may_be_auto):
        return None
    return chain[-1]


def solved(statement: Statement, node: Node, around: Surroundings, *, path: str) -> tuple[Number, ...] | None:
    """Return what a field has to be for an equation to hold; None where that cannot be told exactly."""
    around = around._replace(unknown=path)
    try:
        left, right = (evaluate(statement.expression, around, side) for side in node[4:6])
        if not (is_numeric(left) and is_numeric(right)):
            return None
        return forms.solutions(form(left), form(right))
    except (UnsolvableError, OpenFieldError, SpecError, ZeroDivisionError, StarlarkError):
        return None


def legal(field: Field, number: Number) -> int | float | None:
    """Return a number as a value of a field, if it is one."""
    types = {atom.name for atom in field.kind.values}
    value: int | float
    if not types.isdisjoint(("int", "Tokens", "Bytes")):
        if parts(number)[1] != 1:
            return None
        value = parts(number)[0]
    elif not types.isdisjoint(("float", "Seconds")):
        try:
            value = to_float(number)
        except OverflowError:
            return None
        if exact(value) != number:
            return None
    else:
        return None
    return value if out_of_bounds(field, value) is None else None
