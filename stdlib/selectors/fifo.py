"""Takes the groups that have waited longest: first in, first out."""

from __future__ import annotations

from collections.abc import Sequence

from stdlib.selectors._waiting import Waiting


def select(waiting: Sequence[Waiting], count: int) -> list[int]:
    """Return the places of at most `count` groups; those that wait are in the order in which they came."""
    return list(range(min(count, len(waiting))))
