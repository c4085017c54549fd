"""Calls as <invoke> with named parameters between <minimax:tool_call> tags: MiniMax-M2.

Source: the model card of MiniMaxAI/MiniMax-M2, docs/tool_calling_guide.md.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, marked, parsed, shown, tagged, typed

_INVOKE = re.compile(r"<invoke name=\"?([^>\"]{1,200})\"?>")
_PARAMETER = re.compile(r"<parameter name=\"?([^>\"]{1,200})\"?>")


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    found = marked(text, "<minimax:tool_call>", "</minimax:tool_call>")
    calls = [call for part in found.parts for call in _calls(part, tools)]
    if found.is_open:
        calls = ["<minimax:tool_call> is not closed"]
    return parsed(found.rest, calls)


def _calls(part: str, tools: Tools) -> list[ToolCall | str]:
    found = tagged(part, _INVOKE, "</invoke>")
    if found.left or not found.parts:
        return [f'calls are <invoke name="...">...</invoke>, and this is {shown(found.left or part)}']
    return [_call(name, body, tools) for name, body in found.parts]


def _call(name: str, body: str, tools: Tools) -> ToolCall | str:
    found = tagged(body, _PARAMETER, "</parameter>")
    if found.left:
        return f"between the parameters of {name} stands {shown(found.left)}"
    return ToolCall(name, {key: typed(value, name, key, tools) for key, value in found.parts})
