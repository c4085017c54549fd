"""Calls as tags of their own for keys and values: GLM-4.5, GLM-4.6, GLM-4.7.

Source: the chat template of zai-org/GLM-4.5.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, marked, parsed, shown, tagged, typed

# A key and what opens its value.
_KEY = re.compile(r"<arg_key>([^<]{0,200})</arg_key>\s{0,200}<arg_value>")


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
    found = tagged(body, _KEY, "</arg_value>")
    if found.left:
        return f"between the arguments of {name} stands {shown(found.left)}"
    pairs = [(key.strip(), value) for key, value in found.parts]
    return ToolCall(name, {key: typed(value, name, key, tools) for key, value in pairs})
