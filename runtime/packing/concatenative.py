"""Concatenation: sequences in input order, a new bin where the next one does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.packing.bins import Bins


def concatenative(lengths: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins of consecutive indices.  No length may be above `max_tokens`."""
    bins: Bins = []
    room = -1
    for i, length in enumerate(lengths):
        if length > room:
            bins.append([])
            room = max_tokens
        bins[-1].append(i)
        room -= length
    return bins
