"""The calls that lead to a value of a .star file, as labels of what is said about the value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Label
from compiler.diagnostics.span import Span
from compiler.frontend.value import List, Node, Table
from compiler.ir.provenance import Call

_MOST = 4


def with_call_sites(found: Sequence[Diagnostic], value: Table) -> tuple[Diagnostic, ...]:
    """Return diagnostics in which a label in a .star file is followed by labels of the calls that lead to it."""
    if not found:
        return ()
    calls: dict[Span, dict[Call, None]] = {}
    for span, sites in _calls(value):
        # One piece of text may stand for several values: all calls that lead to it are told.
        calls.setdefault(span, {}).update(dict.fromkeys(sites))
    return tuple(_with_calls(diagnostic, calls) for diagnostic in found) if calls else tuple(found)


def call_labels(calls: Sequence[Call]) -> list[Label]:
    """Return labels of calls, those nearest to the value if there are many."""
    return [Label(call.span, "called here") for call in reversed(calls[-_MOST:])]


def _with_calls(diagnostic: Diagnostic, calls: dict[Span, dict[Call, None]]) -> Diagnostic:
    known = {label.span for label in diagnostic.labels}
    labels = list(diagnostic.labels)
    for label in diagnostic.labels:
        for site in call_labels(tuple(calls.get(label.span, ()))):
            if site.span not in known:
                known.add(site.span)
                labels.append(site)
    return diagnostic._replace(labels=tuple(labels))


def _calls(node: Node) -> Iterator[tuple[Span, tuple[Call, ...]]]:
    if node.calls:
        yield node.span, node.calls
    if isinstance(node, Table):
        for entry in node.entries.values():
            if entry.node.calls:
                yield entry.key_span, entry.node.calls
            yield from _calls(entry.node)
    elif isinstance(node, List):
        for item in node.items:
            yield from _calls(item)
    for lost in node.shadowed:
        yield from _calls(lost)
