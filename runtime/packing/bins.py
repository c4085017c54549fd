"""What all ways of packing share: bins of sequence indices, the order by length, and numbers of bins."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

Bins = list[list[int]]


def by_descending_length(lengths: Sequence[int]) -> list[int]:
    """Return the indices, longest sequence first, equal lengths in input order."""
    return sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)  # sorting is stable in reverse, too


def in_multiples(bins: Bins, multiple: int) -> Bins:
    """Return bins of which there is a multiple, with as few more as that takes.

    A new bin gets the last sequence of the bin with the most sequences, of several such bins the last one.

    Raises: ValueError if there are too few sequences.
    """
    num_new = -len(bins) % multiple
    if num_new == 0:
        return bins
    found = [list(members) for members in bins]
    fullest = [(-len(members), -at) for at, members in enumerate(found)]
    heapify(fullest)
    for _ in range(num_new):
        size, at = fullest[0] if fullest else (0, 0)
        if size > -2:
            raise too_few(len(bins) + num_new, sum(map(len, bins)))
        found.append([found[-at].pop()])
        heapreplace(fullest, (size + 1, at))
    return found


def too_few(num_bins: int, num_sequences: int) -> ValueError:
    """Return the error that more bins than sequences are asked for."""
    return ValueError(f"{num_bins} micro-batches cannot be made of {num_sequences} sequences")
