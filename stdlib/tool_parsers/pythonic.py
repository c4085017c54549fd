"""Calls as a list of Python calls with keywords, [f(a=1), g(b="x")]: Llama 3.2 and Llama 4.

The text is parsed and never run; values are literals.
Source: the model card of Llama 3.2, "Zero shot function calling".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from stdlib.episodes import Parsed, ToolCall
from stdlib.samples import JsonValue
from stdlib.tool_parsers._reading import Tools, parsed, shown

_MARKS = ("<|python_start|>", "<|python_end|>", "<|python_tag|>")
_LONGEST = 100_000


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
    return parsed("", _calls(tree))


def _calls(tree: ast.List) -> Iterator[ToolCall | str]:
    for one in tree.elts:
        if not isinstance(one, ast.Call) or one.args or any(word.arg is None for word in one.keywords):
            yield f"a call is a name with keywords, and this is {shown(ast.unparse(one))}"
            continue
        name = ast.unparse(one.func)
        try:
            yield ToolCall(name, {str(word.arg): _plain(ast.literal_eval(word.value)) for word in one.keywords})
        except (ValueError, TypeError, RecursionError, MemoryError):
            yield f"an argument of {name} is no plain value: {shown(ast.unparse(one))}"


def _plain(value: Any) -> JsonValue:
    """A literal as JSON has it.  Raises: ValueError for what JSON does not have."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError("no JSON")
