"""From TOML text to Value.

tomli decides validity and values, `toml_spans` finds the places, and this file joins the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import tomli

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.nesting import MAX_DEPTH, find_too_deep
from compiler.frontend.toml_errors import syntax_error
from compiler.frontend.toml_spans import Mark, locate
from compiler.frontend.value import Entry, Leaf, List, Node, Priority, Table

if TYPE_CHECKING:
    from compiler.frontend.value import Scalar

_INT64 = 2**63
_BOM = "\ufeff"


def source_file(name: str, text: str) -> SourceFile:
    """Return a source as spans count it: without a byte-order mark, and with single line feeds."""
    return SourceFile(name, text.removeprefix(_BOM).replace("\r\n", "\n"))


def parse(source: SourceFile, priority: Priority, reporter: Reporter) -> Table | None:
    """Return the root table of a TOML text, or None after reporting why there is none.

    Reports RLC0101 (syntax), RLC0102 (a name defined twice), RLC0103 (nested too deeply), RLC0104 (integer range).
    """
    if source.text.startswith(_BOM) or "\r\n" in source.text:
        source = source_file(source.name, source.text)
    try:
        return _parsed(source, priority)
    except SpecError as error:
        for diagnostic in error.diagnostics:
            reporter.add(diagnostic)
        return None


def _parsed(source: SourceFile, priority: Priority) -> Table:
    too_deep = find_too_deep(source.text)
    if too_deep is not None:
        raise _too_deep(Span(source, too_deep, too_deep + 1))
    try:
        values = tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        raise SpecError(syntax_error(source, error.msg, error.pos)) from None
    except ValueError:  # int() refuses more digits than sys.get_int_max_str_digits()
        raise _too_big(_longest_scalar(locate(source.text).root, source)) from None
    root = locate(source.text).root
    return cast("Table", _Joiner(source, priority).node(values, root, 0))


class _Joiner:
    """Joins values and marks of one source."""

    __slots__ = ("priority", "source")

    def __init__(self, source: SourceFile, priority: Priority) -> None:
        self.source = source
        self.priority = priority

    def node(self, value: object, mark: Mark, depth: int) -> Node:
        span = Span(self.source, mark.start, mark.end)
        if depth > MAX_DEPTH:
            raise _too_deep(span)
        if isinstance(value, dict):
            return Table(self.entries(value, mark, depth + 1), span, self.priority)
        if isinstance(value, list):
            pairs = zip(value, mark.items, strict=True)
            return List(tuple([self.node(v, m, depth + 1) for v, m in pairs]), span, self.priority)
        if type(value) is int and not -_INT64 <= value < _INT64:
            raise _too_big(span)
        return Leaf(cast("Scalar", value), span, self.priority)

    def entries(self, values: dict[str, object], mark: Mark, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key, value in values.items():
            place = mark.members[key]
            entries[key] = Entry(Span(self.source, place.key_start, place.key_end), self.node(value, place, depth))
        return entries


def _too_deep(span: Span) -> SpecError:
    label = Label(span, f"level {MAX_DEPTH + 1}", is_primary=True)
    return SpecError(Diagnostic("RLC0103", f"nested more than {MAX_DEPTH} levels deep", (label,)))


def _too_big(span: Span) -> SpecError:
    label = Label(span, "an integer holds from -2^63 to 2^63 - 1", is_primary=True)
    advice = Help("write it as a float (1e30) if the field takes one")
    return SpecError(Diagnostic("RLC0104", "the integer does not fit in 64 bits", (label,), (advice,)))


def _longest_scalar(root: Mark, source: SourceFile) -> Span:
    """The longest value that is no string: the number that a parser of integers refused."""
    longest = root
    waiting = [root]
    while waiting:
        mark = waiting.pop()
        waiting += mark.members.values()
        waiting += mark.items
        is_number = mark.origin == "value" and source.text[mark.start : mark.start + 1] not in ("'", '"')
        if is_number and mark.end - mark.start > longest.end - longest.start:
            longest = mark
    return Span(source, longest.start, longest.end)
