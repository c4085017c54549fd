"""Best-fit decreasing: the fullest bin that still has room takes the next longest sequence.

Bins are found by the room that they have left.  Which rooms occur is kept in a set of small numbers, so the next larger
one costs a few operations whatever the number of bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import isqrt

from runtime.packing.bins import Bins, by_descending_length


def best_fit_decreasing(lengths: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins of indices; equal lengths in input order, equally full bins in the order in which they were opened.

    No length may be above `max_tokens`.
    """
    bins: Bins = []
    with_room: dict[int, list[int]] = {}  # room left -> heap of bins
    rooms = _Rooms(max_tokens)
    for i in by_descending_length(lengths):
        room = rooms.at_least(lengths[i])
        if room is None:
            room, chosen = max_tokens, len(bins)
            bins.append([i])
        else:
            heap = with_room[room]
            chosen = heappop(heap)
            if not heap:
                rooms.discard(room)
            bins[chosen].append(i)
        left = room - lengths[i]
        heap = with_room.setdefault(left, [])
        if not heap:
            rooms.add(left)
        heappush(heap, chosen)
    return bins


class _Rooms:
    """A set of integers from 0 to a largest one, as a bitmap in words of about its square root, and one of words."""

    def __init__(self, largest: int) -> None:
        self._shift = max(6, isqrt(largest).bit_length())
        self._below = (1 << self._shift) - 1
        self._words = [0] * ((largest >> self._shift) + 1)
        self._nonzero = 0

    def add(self, number: int) -> None:
        at = number >> self._shift
        self._words[at] |= 1 << (number & self._below)
        self._nonzero |= 1 << at

    def discard(self, number: int) -> None:
        at = number >> self._shift
        self._words[at] &= ~(1 << (number & self._below))
        if not self._words[at]:
            self._nonzero &= ~(1 << at)

    def at_least(self, number: int) -> int | None:
        """Return the smallest member that is not below a number."""
        at = number >> self._shift
        here = self._words[at] >> (number & self._below)
        if here:
            return number + _lowest_bit(here)
        behind = self._nonzero >> (at + 1)
        if not behind:
            return None
        at += 1 + _lowest_bit(behind)
        return (at << self._shift) + _lowest_bit(self._words[at])


def _lowest_bit(number: int) -> int:
    return (number & -number).bit_length() - 1
