"""Modified first-fit decreasing: bins are opened for sequences above half a bin and then filled up in four passes.

With C tokens to a bin, sequences are large above C / 2, medium above C / 3, small above C / 6, else tiny.

Source: Johnson and Garey, "A 71/60 theorem for bin packing", J. of Complexity 1 (1985).  What is left at the end goes
to the emptiest of bins of its own (worst fit), as in NeMo-RL, whose bins these are; the paper has first fit there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heappush, heapreplace

from runtime.packing.bins import Bins, by_descending_length


def modified_first_fit_decreasing(lengths: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins of indices; of equal lengths the lower index first.  No length may be above `max_tokens`."""
    order = by_descending_length(lengths)
    falling = [-lengths[i] for i in order]
    # The sequences above C / k come before the first one of which k times the length is within C.
    end_of_large, end_of_medium, end_of_small = (bisect_left(falling, -(max_tokens // k)) for k in (2, 3, 6))
    left = _Remaining(falling)
    bins: Bins = []
    rooms: list[int] = []

    def put(at: int, chosen: int) -> None:
        left.take(at)
        bins[chosen].append(order[at])
        rooms[chosen] += falling[at]

    for at in range(end_of_large):
        bins.append([])
        rooms.append(max_tokens)
        put(at, at)
    for chosen, room in enumerate(rooms):
        if (medium := left.longest(end_of_large, end_of_medium, room=room)) is not None:
            put(medium, chosen)
    smallest = end_of_small
    for chosen in range(len(bins) - 1, -1, -1):  # with less and less room
        if len(bins[chosen]) > 1:
            continue
        smallest = left.last_before(smallest)
        second = left.last_before(smallest)
        if second < end_of_medium or rooms[chosen] + falling[smallest] + falling[second] < 0:
            break
        put(smallest, chosen)
        partner = left.longest(end_of_medium, smallest, room=rooms[chosen])
        put(second if partner is None else partner, chosen)
    for chosen in range(len(bins)):
        while (longest := left.longest(end_of_large, len(order), room=rooms[chosen])) is not None:
            put(longest, chosen)
    return bins + _worst_fit(lengths, left.all_of(order), max_tokens=max_tokens)


def _worst_fit(lengths: Sequence[int], order: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins, the emptiest of which takes the next sequence if it has room; the emptiest comes first."""
    bins: Bins = []
    loads: list[tuple[int, int]] = []  # heap of (tokens, bin)
    for i in order:
        if loads and loads[0][0] + lengths[i] <= max_tokens:
            load, chosen = loads[0]
            heapreplace(loads, (load + lengths[i], chosen))
            bins[chosen].append(i)
        else:
            heappush(loads, (lengths[i], len(bins)))
            bins.append([i])
    return [bins[chosen] for _, chosen in sorted(loads)]


class _Remaining:
    """The positions of a falling order that were not taken yet; each knows where to look when it is taken."""

    def __init__(self, falling: Sequence[int]) -> None:
        self._falling = falling
        self._next = list(range(len(falling) + 1))

    def take(self, at: int) -> None:
        self._next[at] = at + 1

    def longest(self, start: int, end: int, *, room: int) -> int | None:
        """Return the first position from `start` on, before `end`, whose sequence has room."""
        at = self._first(bisect_left(self._falling, -room, start, end))
        return at if at < end else None

    def last_before(self, end: int) -> int:
        """Return the last position before `end`, -1 if there is none."""
        at = end - 1
        while at >= 0 and self._next[at] != at:
            at -= 1
        return at

    def all_of(self, order: Sequence[int]) -> list[int]:
        """Return what remains."""
        return [i for at, i in enumerate(order) if self._next[at] == at]

    def _first(self, at: int) -> int:
        following = self._next
        root = at
        while following[root] != root:
            root = following[root]
        while at != root:
            following[at], at = root, following[at]
        return root
