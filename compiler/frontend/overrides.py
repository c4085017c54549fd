"""`--set path=value`: one field, written on the command line, stronger than any file.

A path is keys joined by dots, each of which may be followed by `[index]`: `optim.lr`, `stages[0].run.max_steps`,
`stages.sft.run.max_steps`.  A value is a TOML value; what is none, but is made of letters, digits and `_./:+-` only,
is a string, so that `--set cluster.target=cpu` needs no quotes.  Path components stay as written (an index as
"[0]"): `merge` knows the lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.nesting import MAX_DEPTH
from compiler.frontend.source_text import source_file
from compiler.frontend.toml import parse
from compiler.frontend.value import OVERRIDE, Entry, Leaf, Node, Table

NAME = "--set"

_COMPONENT = re.compile(r"""\[[0-9]{1,9}\]|[A-Za-z0-9_-]++|"[^"\\\x00-\x1f]++"|'[^'\x00-\x1f]++'""")
_BARE_WORD = re.compile(r"[A-Za-z0-9_./:+-]+")


def parse_overrides(texts: Sequence[str], reporter: Reporter) -> list[Table]:
    """Return one root table for each override that makes sense.

    Reports RLC0110 (no `=`, or a path that is none) and RLC0111 (a value that is none).
    """
    tables = (parse_override(text, reporter) for text in texts)
    return [table for table in tables if table is not None]


@lru_cache(maxsize=256)
def _source(text: str) -> SourceFile:
    """One text is one source: what is wrong with it for each experiment of a file is the same fault."""
    return source_file(NAME, text)


def parse_override(text: str, reporter: Reporter) -> Table | None:
    """Return `path=value` as nested tables at priority OVERRIDE, or None after reporting."""
    source = _source(text)
    text = source.text
    broken = _no_character(text)
    if broken is not None:
        _malformed(source, (broken, broken + 1), "bytes that are no UTF-8 stand here", reporter)
        return None
    equals = _equals_sign(text)
    if equals is None:
        _malformed(source, (0, len(text)), "there is no `=` in it", reporter)
        return None
    path = _path(source, equals, reporter)
    if path is None:
        return None
    node = _value(source, equals + 1, reporter)
    if node is None:
        return None
    for key, span in reversed(path):
        node = Table({key: Entry(span, node)}, span, OVERRIDE)
    return node if isinstance(node, Table) else None


def _no_character(text: str) -> int | None:
    """The first place where the command line held bytes that are no text: Python keeps them as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        return fault.start
    return None


def _equals_sign(text: str) -> int | None:
    """The first `=` outside of quotes."""
    quote = ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "=":
            return at
    return None


def _path(source: SourceFile, end: int, reporter: Reporter) -> list[tuple[str, Span]] | None:
    text = source.text
    at = len(text[:end]) - len(text[:end].lstrip())
    end = len(text[:end].rstrip())
    if at >= end:
        _malformed(source, (0, max(1, end)), "the path before `=` is empty", reporter)
        return None
    parts: list[tuple[str, Span]] = []
    while at < end:
        if parts and text[at] == ".":
            if at + 1 == end:
                _malformed(source, (at, end), "the path ends with a dot", reporter)
                return None
            at += 1
        elif parts and text[at] != "[":
            _malformed(source, (at, end), "a path is keys joined by dots, such as a.b or a[0].b", reporter)
            return None
        found = _COMPONENT.match(text, at, end)
        if found is None or (found[0].startswith("[") and (not parts or text[at - 1] == ".")):
            _malformed(source, (at, max(end, at + 1)), "a key is expected here", reporter)
            return None
        key = found[0][1:-1] if found[0][0] in "\"'" else found[0]
        parts.append((_index_key(key) if found[0].startswith("[") else key, Span(source, *found.span())))
        at = found.end()
    if len(parts) > MAX_DEPTH:
        _malformed(source, (0, end), f"the path has more than {MAX_DEPTH} keys", reporter)
        return None
    if parts[0][0] == "use":
        _malformed(source, (0, end), "`use` names files and belongs into a file", reporter)
        return None
    return parts


def _index_key(bracketed: str) -> str:
    return f"[{int(bracketed[1:-1])}]"


def _value(source: SourceFile, start: int, reporter: Reporter) -> Node | None:
    text = source.text
    inside = text[start:].strip()
    if not inside:
        _bad_value(source, (start - 1, start), ('an empty text is written as ""',), reporter)
        return None
    # The path is blanked out, so that places in the value are places in the override.
    attempt = Reporter()
    document = SourceFile(NAME, "k" + " " * (start - 2) + "=" + text[start:])
    table = parse(document, OVERRIDE, attempt)
    if table is not None and len(table.entries) == 1:
        return _moved(table.entries["k"].node, source)
    limits = [d for d in attempt.diagnostics if d.code in ("RLC0103", "RLC0104")]
    if limits:
        for d in limits:
            labels = tuple(label._replace(span=label.span._replace(file=source)) for label in d.labels)
            reporter.add(d._replace(labels=labels))
        return None
    begin = text.index(inside, start)
    span = Span(source, begin, begin + len(inside))
    if _BARE_WORD.fullmatch(inside):
        return Leaf(inside, span, OVERRIDE)
    _bad_value(source, (span.start, span.end), _ways_out(inside), reporter)
    return None


def _moved(node: Node, source: SourceFile) -> Node:
    """The same node, with places in another text of the same length."""
    span = node.span._replace(file=source)
    if isinstance(node, Leaf):
        return node._replace(span=span)
    if isinstance(node, Table):
        entries = {
            key: Entry(entry.key_span._replace(file=source), _moved(entry.node, source))
            for key, entry in node.entries.items()
        }
        return node._replace(entries=entries, span=span)
    return node._replace(items=tuple(_moved(item, source) for item in node.items), span=span)


def _ways_out(inside: str) -> tuple[str, ...]:
    if any(char in inside for char in "\"'[]{}\n\\"):
        return ()
    return (f"text with other characters needs quotes, and those the shell's: '...=\"{inside}\"'",)


def _malformed(source: SourceFile, place: tuple[int, int], why: str, reporter: Reporter) -> None:
    label = Label(Span(source, *place), why, is_primary=True)
    advice = Help("an override is written as --set optim.lr=1e-5")
    reporter.add(Diagnostic("RLC0110", "this override is not path=value", (label,), (advice,)))


def _bad_value(source: SourceFile, place: tuple[int, int], ways: tuple[str, ...], reporter: Reporter) -> None:
    label = Label(Span(source, *place), "no TOML value, and no single word", is_primary=True)
    message = "the value of this override cannot be read"
    reporter.add(Diagnostic("RLC0111", message, (label,), tuple(Help(way) for way in ways)))
