"""Calls between DeepSeek's own marks, their arguments as bare JSON: DeepSeek-V3.1.

Source: the model card of deepseek-ai/DeepSeek-V3.1, "ToolCall".
"""

from __future__ import annotations

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, section_of_calls, shown, text_call

_BEGIN, _END = "<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581call\u2581end\uff5c>"
_ALL_BEGIN = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
_SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    return section_of_calls(text, _ALL_BEGIN, (_BEGIN, _END), _call)


def _call(part: str) -> ToolCall | str:
    name, mark, arguments = part.partition(_SEPARATOR)
    if not mark:
        return f"a call is a name and its arguments, and this is {shown(part)}"
    return text_call(name.strip(), arguments)
