r"""The text of the last \boxed{...}: braces inside it are counted, escaped ones are not."""

from __future__ import annotations

import re

_OPENING = re.compile(r"\\(?:boxed|fbox)(?:\s*(?=\{)|\s+)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s$]+")


def last_boxed(text: str) -> str | None:
    r"""Return what the last `\boxed{...}`, `\fbox{...}` or `\boxed 42` holds; None without one, or if it never ends."""
    ends = [found.end() for found in _OPENING.finditer(text)]
    if not ends:
        return None
    start = ends[-1]
    if not text.startswith("{", start):
        bare = _BARE.match(text, start)
        return bare[0] if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        if brace[0] in "{}":
            depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start + 1 : brace.start()].strip()
    return None
