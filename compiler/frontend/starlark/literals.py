"""The literals of Starlark, decoded: numbers, strings and bytes, with the place of what is wrong in one."""

from __future__ import annotations

import re

MAX_DIGITS = 1_000

_BASES = tuple("xXoObB")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]))")
_PLAIN = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "\n": "",
}
_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF


class LiteralError(Exception):
    """What is wrong in a literal: a kind of fault, and its place counted from the literal's beginning."""

    def __init__(self, kind: str, start: int, end: int) -> None:
        super().__init__(kind)
        self.kind = kind
        self.start = start
        self.end = end


def decode_number(text: str) -> int | float:
    """Return the value of a number, which has the form of one.  Raises: LiteralError."""
    if text.isalnum() and (text[1:2] in _BASES or "e" not in text.lower()):
        if text[0] == "0" and len(text) > 1 and text[1] not in _BASES:
            raise LiteralError("leading zero", 0, len(text))
        if len(text) > MAX_DIGITS:
            raise LiteralError("long number", 0, len(text))
        return int(text, 0)
    value = float(text)
    if value == float("inf"):
        raise LiteralError("large float", 0, len(text))
    return value


def decode_text(text: str) -> str | bytes:
    """Return the value of a string or bytes literal, given with its prefix and quotes.  Raises: LiteralError."""
    at = 0
    while text[at] not in "\"'":
        at += 1
    prefix = text[:at]
    quotes = 3 if text[at : at + 3] in ('"""', "'''") and len(text) >= at + 6 else 1
    at += quotes
    body = text[at : len(text) - quotes]
    is_plain = "r" in prefix or "\\" not in body
    if "b" not in prefix:
        if is_plain:
            return body
        return "".join(chr(part) if isinstance(part, int) else part for part in _parts(body, at, largest=0x7F))
    if is_plain:
        return body.encode()
    parts = _parts(body, at, largest=0xFF)
    return b"".join(bytes((part,)) if isinstance(part, int) else part.encode() for part in parts)


def _parts(body: str, at: int, *, largest: int) -> list[str | int]:
    """The pieces of a literal: text, and the elements that octal and hexadecimal escapes stand for."""
    parts: list[str | int] = []
    done = 0
    while (slash := body.find("\\", done)) >= 0:
        found = _ESCAPE.match(body, slash)
        assert found is not None, "no literal ends in a single backslash"
        octal, hexadecimal, short, long, plain = found.groups()
        parts.append(body[done:slash])
        done = found.end()
        if plain is not None:
            if plain not in _PLAIN:
                raise LiteralError("escape", at + slash, at + done)
            parts.append(_PLAIN[plain])
        elif short is not None or long is not None:
            code = int(short or long, 16)
            if code in _SURROGATES or code > _LAST_CODE_POINT:
                raise LiteralError("code point", at + slash, at + done)
            parts.append(chr(code))
        else:
            element = int(octal, 8) if octal is not None else int(hexadecimal, 16)
            if element > largest:
                raise LiteralError("large escape", at + slash, at + done)
            parts.append(element)
    parts.append(body[done:])
    return parts
