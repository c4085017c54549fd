"""Versions of engines, and bounds on them: `>=0.24, <0.26`."""

from __future__ import annotations

import re

# Compiled when the first version is read: most plans name none.
_VERSION = r"(\d+(?:\.\d+)*)(?:\.?(rc|dev|post)(\d+))?.*"
_BOUND = r"(>=|<=|==|>|<)\s*(\S+)"
# What is made before a release sorts before it, what is mended after it behind.
_RANKS = {"dev": -2, "rc": -1, "": 0, "post": 1}


def version_key(text: str) -> tuple[tuple[int, ...], int, int]:
    """Return what orders versions.  Raises: ValueError for a text that begins with no number."""
    found = re.fullmatch(_VERSION, text)
    if found is None:
        raise ValueError(f"{text} is no version")
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), _RANKS[found[2] or ""], int(found[3] or 0)


def is_within(version: str, bounds: str) -> bool:
    """Whether a version keeps all bounds.  Raises: ValueError for a text that is no bound."""
    return all(_keeps(version, bound.strip()) for bound in bounds.split(",") if bound.strip())


def _keeps(version: str, bound: str) -> bool:
    found = re.fullmatch(_BOUND, bound)
    if found is None:
        raise ValueError(f"{bound} is no bound")
    mine, other = version_key(version), version_key(found[2])
    return {
        ">=": mine >= other,
        "<=": mine <= other,
        "==": mine == other,
        ">": mine > other,
        "<": mine < other,
    }[found[1]]
