"""What `rlc explain SPEC [FIELD]` prints for people: a field with all that led to its value, or a table of fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from compiler.diagnostics.printable import printable
from compiler.explain import (
    Explainer,
    FieldFacts,
    argument_text,
    equation_called,
    exact_place,
    is_starlark,
    literal,
    place,
    source_line,
    summary_of_pass,
)
from compiler.ir.equations import Equation
from compiler.ir.openness import AUTO
from compiler.ir.provenance import Origin
from compiler.ir.spec_tables import bounds_in_words

_MARGIN = 2
_LABELS = 11
_LONGEST_VALUE = 48
_LONGEST_CALL = 72
_TREE = ("\u251c\u2500 ", "\u2514\u2500 ", "\u2502  ")
_ASCII_TREE = ("|- ", "`- ", "|  ")

_Row = tuple[str, str, str]


def fields_text(explainer: Explainer, paths: Sequence[str], *, ascii_only: bool) -> str:
    """Return the page of a field; where stages disagree, one page for the field of each."""
    groups = [tuple(paths)] if explainer.is_shared(paths) else [(path,) for path in paths]
    pages = ["\n".join(_Page(explainer, group, ascii_only=ascii_only).lines()) for group in groups]
    return printable_lines("\n\n".join(pages), ascii_only=ascii_only)


def table_text(explainer: Explainer, paths: Sequence[str], *, ascii_only: bool) -> str:
    """Return one row for each field: what it is called, its value, and where that came from."""
    rows = [("field", "value", "from"), *(_row(explainer.facts(path)) for path in paths)]
    wide, wider = (max(len(row[at]) for row in rows) for at in (0, 1))
    lines: list[str] = []
    for group in _in_groups(rows):
        lines += ["", *(f"{field:<{wide}}  {value:<{wider}}  {origin}" for field, value, origin in group)]
    return printable_lines("\n".join(lines[1:]), ascii_only=ascii_only)


def printable_lines(text: str, *, ascii_only: bool) -> str:
    """Return lines in which nothing that a spec says can reach the terminal as a command."""
    return "\n".join(printable(line, ascii_only=ascii_only).rstrip() for line in text.split("\n"))


class _Page:
    """One field, or the same field of several stages that share its value."""

    def __init__(self, explainer: Explainer, paths: tuple[str, ...], *, ascii_only: bool) -> None:
        self.explainer = explainer
        self.paths = paths
        self.facts = explainer.facts(paths[0])
        self.tee, self.end, self.bar = _ASCII_TREE if ascii_only else _TREE

    def lines(self) -> Iterator[str]:
        facts = self.facts
        unit = f" ({facts.field.unit})" if facts.field.unit and isinstance(facts.value, (int, float)) else ""
        names = [self.explainer.shown(path) for path in self.paths]
        yield f"{names[0]} = {_value(facts)}{unit if facts.is_known else ''}"
        yield " " * _MARGIN + facts.field.doc
        yield ""
        yield from _section("origin", self.origin())
        yield from _section("from", self.tree(self.paths[0], ""))
        yield from _section("won over", _lost(facts.origin))
        yield from _section("also", [f"{name}, from the same place" for name in names[1:]])
        yield from _section("used by", self.dependents())
        yield from _section("takes", _domain(facts))
        yield from _section("on resume", ["may change" if facts.may_change_on_resume else "must be the same"])

    def origin(self) -> list[str]:
        origin = self.facts.origin
        if not self.facts.is_known and not self.facts.inputs:
            return ["not known: the spec has an error here"]
        if origin is None or (origin.kind == "default" and self.facts.value is AUTO):
            return ["nobody has set it, and nothing determines it"]
        if origin.kind == "override" and origin.span is not None:
            return [f"--set {source_line(origin.span)}"]
        if origin.span is not None and origin.key is None and origin.kind == "derived" and origin.by != "lower":
            return [f"solved from what {exact_place(origin.span)} requires", origin.by, *_called(origin)]
        if origin.span is not None:
            written = "filled in by " if origin.kind == "recipe" else ""
            if is_starlark(origin.span):
                return [written + exact_place(origin.key or origin.span), argument_text(origin), *_called(origin)]
            return [written + place(origin.span), source_line(origin.span)]
        if origin.kind == "default":
            return ["the default of the schema"]
        equation = equation_called(origin.by)
        if equation is not None:
            return [*_solved(origin, equation), *self.arithmetic(equation)]
        summary = summary_of_pass(origin.by)
        if not summary:
            return ["derived while the spec was read"]
        return [f"{origin.kind} by the compiler", summary]

    def arithmetic(self, equation: Equation) -> list[str]:
        """The equation in names, and in the numbers of this stage; a factor that the stage lacks counts as 1."""
        path = self.paths[0]
        stage = "" if path in equation.fields else ".".join(path.split(".")[:2]) + "."
        present = {field for field in equation.fields if f"{stage}{field}" in self.explainer.paths}
        sides = [[field for field in side if field in present] for side in (equation.left, equation.right)]

        def number(field: str) -> str:
            return _value(self.explainer.facts(f"{stage}{field}"))

        less = equation.less if equation.less and f"{stage}{equation.less[1]}" in self.explainer.paths else None
        if less is not None and number(less[1]) == "0":
            less = None

        def written(field: str, word: Callable[[str], str]) -> str:
            return f"({word(field)} - {word(less[1])})" if less is not None and field == less[0] else word(field)

        return [
            " = ".join(" x ".join(written(field, word) for field in side) or "1" for side in sides)
            for word in (str, number)
        ]

    def tree(self, path: str, indent: str) -> list[str]:
        """What a field was derived from, and what that was derived from, down to values that somebody wrote."""
        lines: list[str] = []
        inputs = self.explainer.facts(path).inputs
        for source in inputs:
            facts = self.explainer.facts(source)
            is_last = source == inputs[-1]
            branch = self.end if is_last else self.tee
            lines.append(f"{indent}{branch}{facts.shown} = {_value(facts)}   {_origin_in_short(facts)}")
            lines += self.tree(source, indent + ("   " if is_last else self.bar))
        return lines

    def dependents(self) -> list[str]:
        found = dict.fromkeys(name for path in self.paths for name in self.explainer.facts(path).dependents)
        return [self.explainer.shown(path) for path in found]


def _value(facts: FieldFacts) -> str:
    return literal(facts.value) if facts.is_known else "?"


def _section(label: str, lines: Sequence[str]) -> Iterator[str]:
    for at, line in enumerate(lines):
        yield f"{' ' * _MARGIN}{label if at == 0 else '':<{_LABELS}}{line}"


def _solved(origin: Origin, equation: Equation) -> list[str]:
    if origin.kind == "assumed":
        return [f"assumed: nobody has set it, and the {equation.name} leaves another field open too"]
    return [f"derived by the {equation.name}: {equation.meaning}"]


def _called(origin: Origin) -> list[str]:
    """The calls that lead to a value, the nearest first."""
    return [f"in {_one_line(call.span.text)}   {exact_place(call.span)}" for call in reversed(origin.calls)]


def _one_line(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= _LONGEST_CALL else f"{shown[: _LONGEST_CALL - 3]}..."


def _lost(origin: Origin | None) -> list[str]:
    """What was written with less right to decide, the strongest first."""
    losers = sorted(_losers(origin), key=lambda lost: lost.kind == "recipe")
    return [f"{place(lost.span)}   {source_line(lost.span)}" for lost in losers if lost.span is not None]


def _losers(origin: Origin | None) -> Iterator[Origin]:
    for lost in origin.shadowed if origin is not None else ():
        yield lost
        yield from _losers(lost)


def _domain(facts: FieldFacts) -> list[str]:
    field = facts.field
    if facts.is_derived:
        return ["nothing: only the compiler sets it"]
    words = [f'"{choice}"' for atom in field.kind.values for choice in atom.choices]
    bounds = bounds_in_words(field)
    words += [bounds] if bounds else []
    words += ['"off"'] if field.kind.may_be_off else []
    words += ['"auto"'] if field.kind.may_be_auto else []
    lines = [", ".join(words)] if words else []
    if field.read_if is not None:
        sibling, values = field.read_if
        lines.append(f"read only where {sibling} is {' or '.join(literal(value) for value in values)}")
    return lines


def _origin_in_short(facts: FieldFacts) -> str:
    origin = facts.origin
    if not facts.is_known and not facts.inputs:
        return "not known"
    if origin is None or (origin.kind == "default" and facts.value is AUTO):
        return "open"
    if origin.span is not None:
        return place(origin.span)
    # An equation has a name among people, a pass among developers alone; explaining the field says what it does.
    return origin.kind if equation_called(origin.by) is None else f"{origin.kind}: {origin.by}"


def _row(facts: FieldFacts) -> _Row:
    value = _value(facts)
    shown = value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 3]}..."
    return facts.shown, shown, _origin_in_short(facts)


def _in_groups(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows of one table stand together, and so do tables of one row that follow each other; a head joins the first."""
    groups: list[list[_Row]] = []
    for _, found in groupby(rows[1:], key=lambda row: _table_of(row[0])):
        group = list(found)
        if groups and len(group) == 1 and len({_table_of(row[0]) for row in groups[-1]}) == len(groups[-1]):
            groups[-1] += group
        else:
            groups.append(group)
    return [[rows[0], *groups[0]], *groups[1:]]


def _table_of(name: str) -> str:
    """The table whose fields stand together: `model`, or `stages.sft.optim`."""
    parts = name.split(".")
    return ".".join(parts[: 3 if parts[0] == "stages" else 1][: len(parts) - 1])
