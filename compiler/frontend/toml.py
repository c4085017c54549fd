"""From TOML text to a tree.

tomli decides validity and values, `toml_spans` finds the places, and this file joins the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import tomli

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.nesting import MAX_DEPTH, find_too_deep
from compiler.frontend.source_text import BOM, source_file
from compiler.frontend.toml_errors import syntax_error
from compiler.frontend.toml_spans import Mark, locate
from compiler.frontend.trees import LEAF, LIST, TABLE, Tree, TreeEntry, Trees
from compiler.frontend.value import Priority, Table

if TYPE_CHECKING:
    from compiler.frontend.value import Scalar

_INT64 = 2**63


def parse(source: SourceFile, priority: Priority, reporter: Reporter) -> Table | None:
    """Return the root table of a TOML text, or None after reporting why there is none.

    Reports RLC0101 (syntax), RLC0102 (a name defined twice), RLC0103 (nested too deeply), RLC0104 (integer range).
    """
    if source.text.startswith(BOM) or "\r\n" in source.text:
        source = source_file(source.name, source.text)
    tree = parse_tree(source, reporter)
    return None if tree is None else Trees((source,), tree).table(priority)


def parse_tree(source: SourceFile, reporter: Reporter) -> Tree | None:
    """Return the tree of a text as `source_file` makes it, or None after reporting as `parse` does."""
    try:
        return _parsed(source)
    except SpecError as error:
        for diagnostic in error.diagnostics:
            reporter.add(diagnostic)
        return None


def _parsed(source: SourceFile) -> Tree:
    too_deep = find_too_deep(source.text)
    if too_deep is not None:
        raise _too_deep(Span(source, too_deep, too_deep + 1))
    try:
        values = tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        raise SpecError(syntax_error(source, error.msg, error.pos)) from None
    except ValueError:  # int() refuses more digits than sys.get_int_max_str_digits()
        raise _too_big(_longest_scalar(locate(source.text).root, source)) from None
    return _joined(values, locate(source.text).root, 0, source)


def _joined(value: object, mark: Mark, depth: int, source: SourceFile) -> Tree:
    """The tree of a value at its place."""
    start, end = mark.start, mark.end
    if depth > MAX_DEPTH:
        raise _too_deep(Span(source, start, end))
    if isinstance(value, dict):
        entries: list[TreeEntry] = []
        for key, inner in value.items():
            place = mark.members[key]
            entries.append((key, place.key_start, place.key_end, _joined(inner, place, depth + 1, source)))
        return TABLE, start, end, tuple(entries), 0, ()
    if isinstance(value, list):
        pairs = zip(value, mark.items, strict=True)
        return LIST, start, end, tuple([_joined(v, m, depth + 1, source) for v, m in pairs]), 0, ()
    if type(value) is int and not -_INT64 <= value < _INT64:
        raise _too_big(Span(source, start, end))
    return LEAF, start, end, cast("Scalar", value), 0, ()


def _too_deep(span: Span) -> SpecError:
    label = Label(span, f"level {MAX_DEPTH + 1}", is_primary=True)
    return SpecError(Diagnostic("RLC0103", f"nested more than {MAX_DEPTH} levels deep", (label,)))


def _too_big(span: Span) -> SpecError:
    label = Label(span, "an integer holds from -2^63 to 2^63 - 1", is_primary=True)
    advice = Help("write it with a point or an exponent, as 1e20, if the field takes fractions")
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
