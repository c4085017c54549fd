"""Calls as JSON between <tool_call> and </tool_call>: Hermes, Qwen2.5, Qwen3.

Source: the chat template of Qwen/Qwen2.5-7B-Instruct; NousResearch/Hermes-Function-Calling.
"""

from __future__ import annotations

from stdlib.episodes import Parsed
from stdlib.tool_parsers._reading import Tools, json_call, marked, parsed


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    found = marked(text, "<tool_call>", "</tool_call>")
    calls = [json_call(part, "arguments", "parameters") for part in found.parts]
    if found.is_open:
        calls[-1] = "<tool_call> is not closed by </tool_call>"
    return parsed(found.rest, calls)
