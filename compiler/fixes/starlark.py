"""Edits of a Starlark text: the text of an argument replaced, an argument added or taken away.

A field that is not written yet can be added where the file makes one experiment, and makes its tables by `dict(...)` or
`{...}` inside that call; elsewhere no place in the text is the right one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import tomli

from compiler.diagnostics.span import SourceFile, Span
from compiler.fixes.edit import Edit
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.syntax import parse_file

_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


def setting(
    source: SourceFile, keys: Sequence[str], literal: str, place: Span | None, cache: Path | None
) -> Edit | None:
    """Return the edit that gives a field a value: at its place if it has one, else as a further argument."""
    value = starlark_literal(tomli.loads(f"k = {literal}")["k"])
    if place is not None:
        return Edit(place.start, place.end, value)
    tree = parse_file(source, cache)
    calls = [node for node in _nodes(tree) if node[0] == "call" and _name_of(node[3]) == "experiment"]
    if len(calls) != 1 or any(key.startswith("[") for key in keys):
        return None
    holder = calls[0]
    for at, key in enumerate(keys):
        inner = _argument(holder, key)
        if inner is None:
            return _added(source.text, holder, keys[at:], value)
        if at == len(keys) - 1:
            return Edit(inner[1], inner[2], value)
        if not _is_table(inner):
            return None
        holder = inner
    return None


def unsetting(source: SourceFile, _: Sequence[str], place: Span | None, cache: Path | None) -> Edit | None:
    """Return the edit that takes away the argument, or the entry of a dict, whose value stands at a place."""
    if place is None:
        return None
    found = next(
        (node for node in _pairs(source, cache) if cast("Node", node[4])[1:3] == (place.start, place.end)), None
    )
    return None if found is None else _without(source.text, found)


def removal(source: SourceFile, key: Span, cache: Path | None) -> Edit | None:
    """Return the edit that takes away an argument, or an entry of a dict, by the place of its key."""
    found = next((node for node in _pairs(source, cache) if cast("Node", node[3])[1] == key.start), None)
    return None if found is None else _without(source.text, found)


def _pairs(source: SourceFile, cache: Path | None) -> Iterator[Node]:
    return (node for node in _nodes(parse_file(source, cache)) if node[0] in ("keyword", "entry"))


def _without(text: str, found: Node) -> Edit:
    start, end = found[1], found[2]
    after = text[end:]
    if after.lstrip().startswith(","):
        end += after.index(",") + 1
        line_start = text.rfind("\n", 0, start) + 1
        rest = _REST_OF_LINE.match(text, end)
        if not text[line_start:start].strip() and rest is not None:
            return Edit(line_start, rest.end(), "")
        return Edit(start, end + len(text[end:]) - len(text[end:].lstrip(" \t")), "")
    before = text[:start].rstrip()
    return Edit(len(before) - before.endswith(","), end, "") if before.endswith(",") else Edit(start, end, "")


def starlark_literal(value: object) -> str:
    """Return a value of TOML as Starlark writes it."""
    if isinstance(value, list):
        return "[" + ", ".join(starlark_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {starlark_literal(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node[3:]:
        if type(child) is tuple:
            yield from _nodes(cast("Node", child))


def _name_of(node: Node) -> str:
    return str(node[3]) if node[0] in ("name", "string") else ""


def _is_table(node: Node) -> bool:
    return node[0] == "dict" or (node[0] == "call" and _name_of(node[3]) == "dict")


def _argument(holder: Node, key: str) -> Node | None:
    """The value that a call or a dict gives a key."""
    for child in holder[3:]:
        if type(child) is tuple and child[0] in ("keyword", "entry") and _name_of(child[3]) == key:
            return cast("Node", child[4])
    return None


def _added(text: str, holder: Node, keys: Sequence[str], value: str) -> Edit | None:
    """A further argument behind the last one, on a line of its own if that has one."""
    if not all(key.isidentifier() for key in keys):
        return None
    for key in reversed(keys[1:]):
        value = f"dict({key} = {value})"
    argument = f'"{keys[0]}": {value}' if holder[0] == "dict" else f"{keys[0]} = {value}"
    given = [child for child in holder[3:] if type(child) is tuple][0 if holder[0] == "dict" else 1 :]
    closing = holder[2] - 1
    if not given:
        return Edit(closing, closing, argument)
    last = given[-1]
    margin = text[text.rfind("\n", 0, last[1]) + 1 : last[1]]
    comma = re.compile(r"\s*,").match(text, last[2], closing)
    at = last[2] if comma is None else comma.end()
    lead = "," if comma is None else ""
    if margin.strip():
        return Edit(at, at, f"{lead} {argument}")
    rest = _REST_OF_LINE.match(text, at)
    if comma is None or rest is None:
        return Edit(at, at, f"{lead}\n{margin}{argument}" + ("," if comma is not None else ""))
    return Edit(rest.end(), rest.end(), f"{margin}{argument},\n")
