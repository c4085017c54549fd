"""A call as the name of a tool on a line of its own, and its arguments as JSON below: GLM-4, GLM-4-0414, GLM-Z1.

Source: the chat template of zai-org/GLM-4-9B-0414.
"""

from __future__ import annotations

import re

from stdlib.episodes import Parsed
from stdlib.tool_parsers._reading import Tools, parsed, text_call

_HEAD = re.compile(r"(?:^|\n)([A-Za-z_][\w.\-]{0,199})\n(?=\{)")


def parse(text: str, tools: Tools) -> Parsed:
    """Return the call of a turn, if it ends with one."""
    body = text.strip()
    found = _HEAD.search(body) if body.endswith("}") else None
    if found is None:
        name = body.split("\n", 1)[0].strip()
        return parsed(body, [f"{name} is called without arguments in JSON"] if name in tools else ())
    return parsed(body[: found.start()], [text_call(found[1], body[found.end() :])])
