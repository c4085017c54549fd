"""Calls as tags of their own for functions and parameters: Qwen3-Coder.

Source: the chat template of Qwen/Qwen3-Coder-30B-A3B-Instruct.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, marked, parsed, shown, tagged, typed

_FUNCTION = re.compile(r"<function=([^>\s]{1,200})>")
_PARAMETER = re.compile(r"<parameter=([^>\s]{1,200})>")
_END = "</function>"


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    found = marked(text, "<tool_call>", "</tool_call>")
    calls = [_call(part, tools) for part in found.parts]
    if found.is_open:
        calls[-1] = "<tool_call> is not closed by </tool_call>"
    return parsed(found.rest, calls)


def _call(part: str, tools: Tools) -> ToolCall | str:
    written = part.strip()
    function = _FUNCTION.match(written)
    if function is None or not written.endswith(_END):
        return f"a call is one <function=name>...</function>, and this is {shown(part)}"
    name, body = function[1], written[function.end() : -len(_END)]
    found = tagged(body, _PARAMETER, "</parameter>")
    if found.left:
        return f"between the parameters of {name} stands {shown(found.left)}"
    pairs = [(key, value.removeprefix("\n").removesuffix("\n")) for key, value in found.parts]
    return ToolCall(name, {key: typed(value, name, key, tools) for key, value in pairs})
