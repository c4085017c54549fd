"""Calls between DeepSeek's own marks, their arguments as a fenced JSON block: DeepSeek-V3, DeepSeek-R1.

Source: the chat template of deepseek-ai/DeepSeek-V3-0324.
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
    kind, mark, rest = part.partition(_SEPARATOR)
    head, fence, tail = rest.partition("```json")
    name, body = head.strip(), tail.rstrip()
    is_block = bool(fence) and body.endswith("```") and len(name.split()) == 1
    if not mark or kind.strip() != "function" or not is_block:
        return f"a call is a function, its name and a block of JSON, and this is {shown(part)}"
    return text_call(name, body.removesuffix("```"))
