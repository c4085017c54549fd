"""Where in a spec the cursor stands: which table, which key, and whether a key, a table or a value is being written.

Read from the text before the cursor alone, because a text that is being written seldom parses.
"""

from __future__ import annotations

import re
from typing import Literal

from compiler.diagnostics.named_tuple import NamedTuple

What = Literal["key", "table", "value"]

_HEADER = re.compile(r"\s*\[{1,2}\s*([\w.\-\"]+)\s*\]")
_OPEN_HEADER = re.compile(r"\s*\[{1,2}\s*([\w.\-]*)$")
_KEY = re.compile(r"\s*([\w.\-]*)$")
_PAIR = re.compile(r"\s*([\w.\-]+)\s*=\s*(.*)$", re.DOTALL)
_STARLARK = re.compile(r"#[^\n]*|'(?:\\.|[^'\\\n])*'?|\"(?:\\.|[^\"\\\n])*\"?|[()\[\]{},]|\w+|=+|\S")
_CALLS_OF_ROOT = ("experiment", "fragment")


class Context(NamedTuple):
    """What is being written.

    `table` is the path of the table (`loss.kl`; `stages.optim` in a stage's own table), `key` that of the key whose
    value is written, `typed` what stands of it before the cursor, quotes included, `quoted` whether a key or table is
    written in quotes.
    """

    what: What
    table: str
    key: str
    typed: str
    present: frozenset[str] = frozenset()


def toml_context(before: str, after: str = "") -> Context | None:
    """Return what is being written in TOML, or None where nothing can be proposed."""
    lines = before.split("\n")
    line = lines[-1]
    header = _OPEN_HEADER.fullmatch(line)
    if header is not None:
        return Context("table", "", "", header[1])
    table, present = "", set[str]()
    for number, earlier in enumerate(lines[:-1]):
        found = _HEADER.match(earlier)
        if found is not None:
            table, present = found[1].replace('"', ""), set()
        else:
            present |= _key_of(lines[number])
    for later in after.split("\n")[1:]:
        if _HEADER.match(later) is not None:
            break
        present |= _key_of(later)
    key = _KEY.fullmatch(line)
    if key is not None:
        inner, _, typed = key[1].rpartition(".")
        return Context("key", _joined(table, inner), "", typed, frozenset(present) if not inner else frozenset())
    pair = _PAIR.fullmatch(line)
    if pair is None or "#" in pair[2]:
        return None
    inner, _, name = pair[1].rpartition(".")
    return Context("value", _joined(table, inner), name, pair[2])


class _Open(NamedTuple):
    """A bracket that is not closed: what is called with it, under which keyword, and where its contents begin."""

    bracket: str
    callee: str
    keyword: str


def starlark_context(before: str) -> Context | None:
    """Return what is being written in Starlark: a keyword of experiment(...), of fragment(...), or of a table in it."""
    stack: list[_Open] = []
    present: list[set[str]] = []
    words: list[str] = []
    for token in _STARLARK.findall(before):
        if token.startswith("#"):
            continue
        if token in "([{":
            callee = words[-1] if words and token == "(" and words[-1].isidentifier() else ""
            stack.append(_Open(token, callee, _keyword(words[:-1] if callee else words)))
            present.append(set())
        elif token in ")]}" and stack:
            stack.pop()
            present.pop()
        elif token == "=" and words and present:
            present[-1].add(words[-1])
        words.append(token)
    if not stack:
        return None
    table = _table_of(stack)
    if table is None:
        return None
    is_typing = words[-1] not in ("(", "[", "{", ",")
    keyword = _keyword(words) or (_keyword(words[:-1]) if is_typing else "")
    tail = re.search(r"([\w\"']*)$", before)
    typed = tail[1] if tail is not None else ""
    if keyword:
        return Context("value", table, keyword, typed)
    return Context("key", table, "", typed, frozenset(present[-1]))


def _table_of(stack: list[_Open]) -> str | None:
    """The path of the table that the innermost bracket fills; None where it fills none."""
    path: list[str] = []
    for opened in reversed(stack):
        if opened.callee in _CALLS_OF_ROOT:
            return ".".join(reversed(path))
        if opened.callee == "dict" or opened.bracket in "[{":
            if opened.keyword:
                path.append(opened.keyword)
            continue
        return None
    return None


def _keyword(words: list[str]) -> str:
    """The name before an `=` that ends the words."""
    return words[-2] if len(words) > 1 and words[-1] == "=" and words[-2].isidentifier() else ""


def _key_of(line: str) -> set[str]:
    found = _PAIR.match(line)
    return set() if found is None else {found[1].partition(".")[0]}


def _joined(table: str, inner: str) -> str:
    return f"{table}.{inner}" if table and inner else table or inner
