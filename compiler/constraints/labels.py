"""Labels of a statement: the values under the names, what it comes to, and where the spec says each field."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.constraints.arithmetic import is_number, said
from compiler.constraints.evaluate import OpenFieldError, Surroundings, evaluate, plain_value
from compiler.constraints.statements import Statement
from compiler.diagnostics.diagnostic import Label, SpecError
from compiler.frontend.call_sites import call_labels
from compiler.frontend.starlark.nodes import Node
from compiler.ir.openness import Auto
from compiler.ir.paths import fields_on_the_way
from compiler.ir.subject import Subject

_MOST = 6


def statement_labels(
    subject: Subject, statement: Statement, around: Surroundings, text: str, *, node: Node
) -> tuple[Label, ...]:
    """Return labels of a statement, the primary one at one of its nodes."""
    expression = statement.expression
    values = [(use.node, _value_of(statement, around, use.node)) for use in statement.uses]
    labels: list[Label] = []
    if expression.whole is not None:
        shown = dict.fromkeys(f"{expression.words(named)} = {value}" for named, value in values)
        labels.append(Label(expression.whole, f"{text}: {', '.join(shown)}", is_primary=True))
    else:
        labels += [Label(expression.span(named), value) for named, value in values]
        labels.append(Label(expression.span(node), text, is_primary=True))
    labels += call_labels(statement.requirement.calls)
    labels += written_labels(subject, around, statement.paths)
    return distinct(labels)


def written_labels(subject: Subject, around: Surroundings, paths: Iterable[str]) -> list[Label]:
    """Return labels of those fields that are written somewhere, with their values and units.

    What a requirement has decided is told at the requirement.
    """
    found: list[Label] = []
    for path in paths:
        origin = subject.origins.get(path)
        if origin is not None and origin.span is not None and origin.key is not None and len(found) < _MOST:
            words = field_in_words(subject, around, path)
            found.append(Label(origin.span, words if words != origin.span.text else "written here"))
    return found


def field_in_words(subject: Subject, around: Surroundings, path: str) -> str:
    """Return the value of a field with its unit."""
    held = around.names.value(path)
    if isinstance(held, Auto):
        return "not decided"
    value = plain_value(path, held)
    unit = ""
    if is_number(value):
        unit = [field.unit for field in fields_on_the_way(subject.experiment, path)][-1]
    return f"{said(value)} {unit.removesuffix('s') if value == 1 else unit}".rstrip()


def distinct(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return labels without those that would say something about a place a second time."""
    found: dict[object, Label] = {}
    for label in labels:
        known = found.get(label.span)
        if known is None or (label.is_primary and not known.is_primary):
            found[label.span] = label
    return tuple(found.values())


def _value_of(statement: Statement, around: Surroundings, node: Node) -> str:
    try:
        return said(evaluate(statement.expression, around, node))
    except OpenFieldError:
        return "not decided"
    except SpecError:
        return "?"
