"""A bound on nesting, checked before a parser recurses into a text.

tomli, the scanner of places and everything after them call themselves once for each level; a file of ten million
brackets must end in a diagnostic all the same.  The check reads the text once, without recursion.
"""

from __future__ import annotations

import re

from compiler.frontend.toml_spans import STRING

MAX_DEPTH = 64

_BRACKET = STRING + r"""|\#[^\n]*+|(?P<open>[\[{])|(?P<close>[\]}])|(?P<bad>["'])"""
_NO_BRACKET = r"[^\[\]{}\"'#]++"
_BRACKET_OR_DOT = _BRACKET + r"|(?P<dot>\.)|(?P<new>[\n=,])"
_NO_BRACKET_OR_DOT = r"[^\[\]{}\"'#.\n=,]++"


def find_too_deep(text: str) -> int | None:
    """Return the offset at which brackets, or the parts of a dotted key, exceed MAX_DEPTH levels; None if none does."""
    has_many_dots = any(line.count(".") >= MAX_DEPTH for line in text.split("\n"))
    if text.count("[") + text.count("{") <= MAX_DEPTH and not has_many_dots:
        return None
    # Compiled here, since most specs never come to this line; `re` keeps what it compiled.
    tokens = re.compile(_BRACKET_OR_DOT if has_many_dots else _BRACKET)
    gaps = re.compile(_NO_BRACKET_OR_DOT if has_many_dots else _NO_BRACKET)
    depth = parts = at = 0
    while True:
        gap = gaps.match(text, at)
        token = tokens.match(text, at if gap is None else gap.end())
        if token is None:
            return None
        at, kind = token.end(), token.lastgroup
        if kind == "open":
            depth, parts = depth + 1, 0
        elif kind == "close":
            depth, parts = max(depth - 1, 0), 0
        elif kind == "dot":
            parts += 1
        elif kind == "new":
            parts = 0
        elif kind == "bad":
            return None
        if depth > MAX_DEPTH or parts >= MAX_DEPTH:
            return token.start()
