"""Calls behind [TOOL_CALLS]: a JSON list, or a name with its arguments: Mistral.

Source: the chat template of mistralai/Mistral-7B-Instruct-v0.3 (a list), that of Mistral-Small-3.2-24B (names).
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Broken, Tools, json_value, object_call, parsed, shown, text_call

_MARK = "[TOOL_CALLS]"
_NAME = re.compile(r"[\w.\-]+")


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    content, *parts = text.split(_MARK)
    if not parts:
        return parsed(content, ())
    if len(parts) == 1 and parts[0].lstrip().startswith(("[", "{")):
        value = json_value(parts[0])
        if isinstance(value, Broken):
            return parsed(content, [value.why])
        listed = value if isinstance(value, list) else [value]
        return parsed(content, [object_call(one, "arguments", "parameters") for one in listed])
    return parsed(content, [_call(part) for part in parts])


def _call(part: str) -> ToolCall | str:
    head, brace, tail = part.partition("{")
    name, mark, call_id = head.strip().removesuffix("[ARGS]").partition("[CALL_ID]")
    is_named = _NAME.fullmatch(name.strip()) and (not mark or _NAME.fullmatch(call_id.strip()))
    if not brace or not is_named:
        return f"a call is a name and its arguments, and this is {shown(part)}"
    return text_call(name.strip(), brace + tail)
