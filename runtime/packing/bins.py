"""What all ways of packing share: bins of sequence indices, and the order by length."""

from __future__ import annotations

from collections.abc import Sequence

Bins = list[list[int]]


def by_descending_length(lengths: Sequence[int]) -> list[int]:
    """Return the indices, longest sequence first, equal lengths in input order."""
    return sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)  # sorting is stable in reverse, too
