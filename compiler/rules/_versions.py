"""Versions of engines, and bounds on them: `>=0.24, <0.26`."""

from __future__ import annotations

_DIGITS = "0123456789"
_SIGNS = (">=", "<=", "==", ">", "<")  # the longer first
# What is made before a release sorts before it, what is mended after it behind.
_RANKS = {"dev": -2, "rc": -1, "post": 1}


def version_key(text: str) -> tuple[tuple[int, ...], int, int]:
    """Return what orders versions.  Raises: ValueError for a text that begins with no number."""
    release = _beginning(text, f"{_DIGITS}.")
    if not release or release.startswith("."):
        raise ValueError(f"{text} is no version")
    numbers = [int(part) for part in release.split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    rest = text.removeprefix(release)
    for word, rank in _RANKS.items():
        number = _beginning(rest.removeprefix(word), _DIGITS)
        if rest.startswith(word) and number:
            return tuple(numbers), rank, int(number)
    return tuple(numbers), 0, 0


def is_within(version: str, bounds: str) -> bool:
    """Whether a version keeps all bounds.  Raises: ValueError for a text that is no bound."""
    return all(_keeps(version, bound.strip()) for bound in bounds.split(",") if bound.strip())


def _keeps(version: str, bound: str) -> bool:
    sign = next((sign for sign in _SIGNS if bound.startswith(sign)), None)
    if sign is None:
        raise ValueError(f"{bound} is no bound")
    mine, other = version_key(version), version_key(bound.removeprefix(sign).strip())
    return {
        ">=": mine >= other,
        "<=": mine <= other,
        "==": mine == other,
        ">": mine > other,
        "<": mine < other,
    }[sign]


def _beginning(text: str, characters: str) -> str:
    """What a text begins with of these characters."""
    return text[: len(text) - len(text.lstrip(characters))]
