"""Calls as a list of Python calls with keywords, [f(a=1), g(b="x")]: Llama 3.2 and Llama 4.

The text is parsed and never run; values are literals.
Source: the model card of Llama 3.2, "Zero shot function calling".
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

from stdlib.episodes import Parsed, ToolCall
from stdlib.samples import JsonValue
from stdlib.tool_parsers._reading import Tools, parsed, shown

_MARKS = ("<|python_start|>", "<|python_end|>", "<|python_tag|>")
_LONGEST = 100_000
_SHOWN = 200
# Python writes no larger integers out.
_BITS_MAX = 14_000


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    body = text.strip()
    for mark in _MARKS:
        body = body.removeprefix(mark).removesuffix(mark).strip()
    if not body.startswith("["):
        return parsed(text, ())
    if len(body) > _LONGEST:
        return parsed("", [f"the calls are longer than {_LONGEST:,} characters"])
    try:
        tree = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return parsed("", [f"this is no list of calls: {shown(body)}"])
    if not isinstance(tree, ast.List):
        return parsed("", [f"this is no list of calls: {shown(body)}"])
    return parsed("", _calls(tree, body))


def _calls(tree: ast.List, body: str) -> Iterator[ToolCall | str]:
    lines = body.encode(errors="replace").split(b"\n")
    for one in tree.elts:
        # Its line and place, in bytes, are counted from 1 and from 0.
        written = shown(lines[min(one.lineno, len(lines)) - 1][one.col_offset :][:_SHOWN].decode(errors="ignore"))
        name = _name(one.func) if isinstance(one, ast.Call) else ""
        if not isinstance(one, ast.Call) or not name or one.args or any(word.arg is None for word in one.keywords):
            yield f"a call is a name with keywords, and this is {written}"
            continue
        try:
            yield ToolCall(name, {str(word.arg): _plain(ast.literal_eval(word.value)) for word in one.keywords})
        except (ValueError, TypeError, RecursionError, MemoryError):
            yield f"an argument of {name[:80]} is no plain value: {written}"


def _name(function: ast.expr) -> str:
    """Return a name or names with dots between them; nothing for another expression."""
    names: list[str] = []
    while isinstance(function, ast.Attribute):
        names.append(function.attr)
        function = function.value
    return ".".join((function.id, *reversed(names))) if isinstance(function, ast.Name) else ""


def _plain(value: Any) -> JsonValue:
    """A literal as JSON has it.  Raises: ValueError for what JSON does not have."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    is_large = isinstance(value, int) and value.bit_length() > _BITS_MAX
    if is_large or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("no JSON")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError("no JSON")
