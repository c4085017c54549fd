"""JSON as text, as the library's `json.dumps` writes it with sorted keys, two blanks of indent and all characters kept.

Written here since a warm plan writes JSON only, and `json` loads what reads it as well, and `re` for that.
"""

from __future__ import annotations

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_ESCAPES = {code: f"\\u{code:04x}" for code in range(0x20)}
_ESCAPES |= {ord(char): f"\\{letter}" for char, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)}
_NOT_FINITE = ("nan", "inf", "-inf")


def json_string(text: str) -> str:
    """Return a text in double quotes; only what JSON forbids is escaped."""
    return f'"{text.translate(_ESCAPES)}"'


def json_text(value: Json, line: str = "\n") -> str:
    """Return a value, one key or item a line.

    Args:
        line: the line break and indent of the line that the value begins on.

    Raises: ValueError for a number that is not finite.
    """
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, dict):
        inner = line + "  "
        items = [f"{json_string(key)}: {json_text(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(items)}{line}}}" if items else "{}"
    if isinstance(value, list):
        inner = line + "  "
        items = [json_text(item, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(items)}{line}]" if items else "[]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    if text in _NOT_FINITE:
        raise ValueError(f"JSON has no number {text}")
    return text
