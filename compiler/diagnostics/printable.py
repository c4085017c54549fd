"""Text as a terminal may have it: nothing that it would obey, and characters as wide as it draws them."""

from __future__ import annotations

import unicodedata

# The first and last of each range; `isprintable` says no to all of them, and to others that do no harm.
_HIDDEN = ("\x00\x1f", "\x7f\x9f", "\u200b\u200f", "\u2028\u202e", "\u2060\u2069", "\ufeff\ufeff", "\ud800\udfff")
_IN_ASCII = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{NOT EQUAL TO}": "!=",
    }
)


def is_hidden(char: str) -> bool:
    """Whether a terminal would obey a character, or show nothing for it."""
    return not char.isprintable() and any(first <= char <= last for first, last in _HIDDEN)


def printable(text: str, *, ascii_only: bool) -> str:
    """Return text of ours, or quoted from a spec, made safe for a terminal."""
    if not text.isprintable():
        text = "".join("\ufffd" if is_hidden(char) else char for char in text)
    if ascii_only:
        text = text.replace("\ufffd", "?").translate(_IN_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text


def display_width(char: str) -> int:
    """Return the number of terminal columns of a character: 0, 1 or 2."""
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
