"""Calls as bare JSON objects: Llama 3.1 and 3.2.

A turn that does not begin with a brace is an answer.  Several calls are separated by semicolons.
Source: the model card of Llama 3.1, "JSON based tool calling"; the chat template of meta-llama/Llama-3.1-8B-Instruct.
"""

from __future__ import annotations

import json

from stdlib.episodes import Parsed, ToolCall
from stdlib.tool_parsers._reading import Tools, finite, json_call, object_call, parsed

_TAG = "<|python_tag|>"


def parse(text: str, tools: Tools) -> Parsed:
    """Return the calls of a turn."""
    body = text.strip().removeprefix(_TAG).strip()
    if not body.startswith("{"):
        return parsed(text, ["a call begins with a brace"] if _TAG in text else [])
    calls: list[ToolCall | str] = []
    decoder = json.JSONDecoder(parse_constant=finite, parse_float=finite)
    while body:
        try:
            value, end = decoder.raw_decode(body)
        except (ValueError, RecursionError):
            calls.append(json_call(body, "parameters", "arguments"))
            break
        calls.append(object_call(value, "parameters", "arguments"))
        body = body[end:].lstrip("; \n")
    return parsed("", calls)
