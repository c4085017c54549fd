r"""What of a response is its answer, for counting votes: two responses agree if their answers are the same text."""

from __future__ import annotations

import re
from collections.abc import Callable

_BRACE = re.compile(r"\\boxed\{|[{}]")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


def answer_of(text: str, kind: str) -> str | None:
    """Return the answer of a response, or None where it has none.

    Args:
        kind: `text` (all of it), `boxed` (what the last box holds) or `last_number`.
    """
    return _KINDS[kind](text)


def _whole(text: str) -> str | None:
    return text.strip() or None


def _boxed(text: str) -> str | None:
    r"""What the last \boxed{...} that is closed holds, white space left out."""
    open_at: list[int] = []
    start, end = -1, -1
    for found in _BRACE.finditer(text):
        if found[0] != "}":
            open_at.append(found.end() if len(found[0]) > 1 else -1)
        elif open_at and (opened := open_at.pop()) > start:
            start, end = opened, found.start()
    return "".join(text[start:end].split()) or None if start >= 0 else None


def _last_number(text: str) -> str | None:
    """The last number in decimal digits, without separators of thousands and without needless zeros: 1,000.50."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    whole, _, part = found[-1].replace(",", "").lstrip("-").partition(".")
    number = f"{whole.lstrip('0') or '0'}.{part.rstrip('0')}".rstrip(".")
    return f"-{number}" if found[-1].startswith("-") and number != "0" else number


_KINDS: dict[str, Callable[[str], str | None]] = {"text": _whole, "boxed": _boxed, "last_number": _last_number}
