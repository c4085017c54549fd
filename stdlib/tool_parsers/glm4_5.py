"""Calls as tags of their own for keys and values: GLM-4.5, GLM-4.6, GLM-4.7.

Source: the chat template of zai-org/GLM-4.5.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, marked, parsed, shown, typed

_ARGUMENT = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL)


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    found = marked(text, "<tool_call>", "</tool_call>")
    calls = [_call(part, tools) for part in found.parts]
    if found.is_open:
        calls[-1] = "<tool_call> is not closed by </tool_call>"
    return parsed(found.rest, calls)


def _call(part: str, tools: Tools) -> ToolCall | str:
    head, mark, tail = part.partition("<arg_key>")
    name, body = head.strip(), mark + tail
    if not name or len(name.split()) > 1:
        return f"a call begins with the name of a tool, and this is {shown(part)}"
    left = _ARGUMENT.sub("", body).strip()
    if left:
        return f"between the arguments of {name} stands {shown(left)}"
    pairs = [(key.strip(), value) for key, value in _ARGUMENT.findall(body)]
    return ToolCall(name, {key: typed(value, name, key, tools) for key, value in pairs})
