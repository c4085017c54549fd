"""An expression in a text of a spec: its tree, and where each part of it stands.

In a plain literal every name has its own place.  Where a text holds escapes, or is made by a program, the whole of it
is the place of all its parts.
"""

from __future__ import annotations

from pathlib import Path

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.syntax import parse_expression

_QUOTES = ('"""', "'''", '"', "'")


class Expression(NamedTuple):
    """A tree, the source that its offsets count in, and the place that stands for all of it, if it must."""

    text: str
    tree: Node
    source: SourceFile
    whole: Span | None

    def span(self, node: Node) -> Span:
        """Return the place of a node in the spec."""
        return self.whole or Span(self.source, node[1], node[2])

    def words(self, node: Node) -> str:
        """Return what a node says, on one line."""
        return " ".join(self.source.text[node[1] : node[2]].split())


def read_expression(value: str, literal: Span, cache: Path | None, *, inside: tuple[int, int]) -> Expression:
    """Return the expression that stands in a text.  Raises: SpecError for a fault of syntax.

    Args:
        literal: the place of the literal in the spec whose value is `value`.
        inside: where in the value the expression begins and ends.
    """
    text = value[inside[0] : inside[1]]
    body = _body(literal, value)
    if body is not None:
        start = body + inside[0]
        return Expression(text, parse_expression(literal.file, start, start + len(text), cache), literal.file, None)
    source = SourceFile(literal.file.name, text)
    try:
        tree = parse_expression(source, 0, len(text), cache)
    except SpecError as fault:
        # One place for all: labels at one place of what they say, the first of them is enough.
        found = [
            d._replace(labels=tuple(label._replace(span=literal) for label in d.labels[:1])) for d in fault.diagnostics
        ]
        raise SpecError(*found) from None
    return Expression(text, tree, source, literal)


def _body(literal: Span, value: str) -> int | None:
    """Where the value begins in the text, if the literal spells it out."""
    written = literal.text
    for quote in _QUOTES:
        if written.startswith(quote) and written.endswith(quote) and len(written) >= 2 * len(quote):
            inside = written[len(quote) : -len(quote)]
            return literal.start + len(quote) if inside == value else None
    # What a command line sets need not be quoted.
    return literal.start if written == value else None
