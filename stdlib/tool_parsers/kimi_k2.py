"""Calls between Kimi's own marks, each with an id such as functions.search:0: Kimi K2.

Source: the model card of moonshotai/Kimi-K2-Instruct, docs/tool_call_guidance.md.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, section_of_calls, shown, text_call

_ID = re.compile(r"(?:functions\.)?([\w.\-]+):\d+")


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    return section_of_calls(text, "<|tool_calls_section_begin|>", ("<|tool_call_begin|>", "<|tool_call_end|>"), _call)


def _call(part: str) -> ToolCall | str:
    head, mark, arguments = part.partition("<|tool_call_argument_begin|>")
    found = _ID.fullmatch(head.strip())
    if found is None or not mark:
        return f"a call is an id such as functions.NAME:0 and its arguments, and this is {shown(part)}"
    return text_call(found[1], arguments)
