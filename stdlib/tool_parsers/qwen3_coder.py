"""Calls as tags of their own for functions and parameters: Qwen3-Coder.

Source: the chat template of Qwen/Qwen3-Coder-30B-A3B-Instruct.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, marked, parsed, shown, typed

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    found = marked(text, "<tool_call>", "</tool_call>")
    calls = [_call(part, tools) for part in found.parts]
    if found.is_open:
        calls[-1] = "<tool_call> is not closed by </tool_call>"
    return parsed(found.rest, calls)


def _call(part: str, tools: Tools) -> ToolCall | str:
    function = _FUNCTION.fullmatch(part)
    if function is None:
        return f"a call is one <function=name>...</function>, and this is {shown(part)}"
    name, body = function.groups()
    left = _PARAMETER.sub("", body).strip()
    if left:
        return f"between the parameters of {name} stands {shown(left)}"
    return ToolCall(name, {key: typed(value, name, key, tools) for key, value in _PARAMETER.findall(body)})
