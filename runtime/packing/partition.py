"""Partitions of costs into a given number of parts that differ as little as can be: Karmarkar and Karp's differencing.

Partial partitions are merged two at a time, those with the widest spread first, the heaviest part of one with the
lightest of the other.  A merge never widens the wider of the two spreads, so parts differ by no more than the largest
cost; parts that are still empty are not stored, so a cost joins a partial partition in the logarithm of its size.

Source: Karmarkar and Karp, "The differencing method of set partitioning", UCB/CSD 82/113 (1982); several parts as in
Michiels, Korst, Aarts and van Leeuwen, "Performance ratios for the differencing method", STACS 2003.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from heapq import heappop, heappush

from runtime.packing.bins import Bins, by_descending_length

# A part is (-sum, its first index, all its indices); parts of a partial partition stand in this order.
_Part = tuple[int, int, list[int]]


def karmarkar_karp(costs: Sequence[int], *, num_parts: int, equal_counts: bool = False) -> Bins:
    """Return `num_parts` lists of ascending indices, each index once; parts may be empty if there are fewer costs.

    Args:
        costs: not below zero.
        equal_counts: whether all parts have the same number of indices, which then has to be possible.

    Raises: ValueError for no parts, or equal counts that are not possible.
    """
    if num_parts < 1:
        raise ValueError("a partition needs at least one part")
    if equal_counts and len(costs) % num_parts:
        raise ValueError(f"{len(costs)} costs cannot be divided into {num_parts} parts of equal counts")
    order = by_descending_length(costs)
    widest = _Widest(costs, order, num_parts, group=num_parts if equal_counts else 1)
    found = widest.pop()
    while (other := widest.pop()) is not None:
        assert found is not None
        widest.push(_merged(found, other, num_parts))
        found = widest.pop()
    parts = [sorted(members) for _, _, members in found or ()]
    return parts + [[] for _ in range(num_parts - len(parts))]


class _Widest:
    """Partial partitions by falling spread: single costs, or groups of neighbours by size, and what became of them.

    Those that nothing was merged into are sorted once and made when their turn comes; only the others are in a heap.
    """

    def __init__(self, costs: Sequence[int], order: Sequence[int], num_parts: int, *, group: int) -> None:
        self._costs, self._order, self._num_parts, self._group = costs, order, num_parts, group
        starts = range(0, len(order), group)
        last = group - 1
        self._fresh = [(costs[order[s + last]] if group == num_parts else 0) - costs[order[s]] for s in starts]
        self._turns = sorted(range(len(self._fresh)), key=self._fresh.__getitem__)
        self._turn = 0
        self._merged: list[tuple[int, int, list[_Part]]] = []  # heap of (-spread, number, parts)
        self._num_merged = 0

    def push(self, parts: list[_Part]) -> None:
        """Add a partition."""
        spread = parts[0][0] - (parts[-1][0] if len(parts) == self._num_parts else 0)
        heappush(self._merged, (spread, self._num_merged, parts))
        self._num_merged += 1

    def pop(self) -> list[_Part] | None:
        """Remove the widest partition and return it; None if there is none."""
        if self._turn == len(self._turns):
            return heappop(self._merged)[2] if self._merged else None
        at = self._turns[self._turn]
        if self._merged and self._merged[0][0] <= self._fresh[at]:
            return heappop(self._merged)[2]
        self._turn += 1
        return [(-self._costs[i], i, [i]) for i in self._order[at * self._group : (at + 1) * self._group]]


def _merged(one: list[_Part], other: list[_Part], num_parts: int) -> list[_Part]:
    """Return the partition that joins the heaviest part of one with the lightest of the other; both are used up."""
    if len(one) < len(other):
        one, other = other, one
    if len(other) == 1:  # by far the most frequent case: a single cost
        insort(one, other[0] if len(one) < num_parts else _joined(one.pop(), other[0]))
        return one
    num_alone = num_parts - len(one)  # so many parts of `one` are empty, and lighter than all others
    kept = min(len(one), num_parts - len(other))
    fresh = other[:num_alone]
    fresh += map(_joined, reversed(one[kept:]), other[num_alone:])
    one[kept:] = fresh
    one.sort()
    return one


def _joined(one: _Part, other: _Part) -> _Part:
    (sum_a, first_a, a), (sum_b, first_b, b) = one, other
    if len(a) < len(b):
        a, b = b, a
    a += b
    return sum_a + sum_b, min(first_a, first_b), a
