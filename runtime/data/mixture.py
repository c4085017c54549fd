"""Whose turn it is, where rows are drawn from several sources by weight.

Source s has its k-th turn at the time (k + u_s) / w_s: w_s is its share, u_s a number between 0 and 1 that the seed
draws for it.  Turns are taken in the order of their times, so after n draws each source has had n w_s of them, give or
take fewer than there are sources, and whose turn a position is follows from the position alone: nothing else has to be
kept to resume.  (This is systematic sampling; the remainders that independent draws would have are not there.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple


class Turn(NamedTuple):
    """A draw from a source: its index, and how many draws it had before."""

    source: int
    number: int


class Mixture:
    """The turns of sources of some weights."""

    def __init__(self, weights: Sequence[float], *, seed: int) -> None:
        total = sum(weights)
        self._shares = [weight / total for weight in weights]
        self._offsets = [_offset(seed, index) for index in range(len(weights))]

    def turns(self, position: int) -> Iterator[Turn]:
        """Yield whose turns come from a position on."""
        # Before this time at most `position` turns have been: in time t a source has between t w - 1 and t w + 1.
        begun = float(position - 2 * len(self._shares))
        numbers = [self._first_from(source, begun) for source in range(len(self._shares))]
        coming = [(self._time(source, number), source, number) for source, number in enumerate(numbers)]
        heapq.heapify(coming)
        at = sum(numbers)
        while True:
            _, source, number = coming[0]
            heapq.heapreplace(coming, (self._time(source, number + 1), source, number + 1))
            if at >= position:
                yield Turn(source, number)
            at += 1

    def _time(self, source: int, number: int) -> float:
        return (number + self._offsets[source]) / self._shares[source]

    def _first_from(self, source: int, begun: float) -> int:
        """The number of the first turn that is not before a time."""
        number = max(0, int(begun * self._shares[source]) - 2)
        while self._time(source, number) < begun:
            number += 1
        return number


def _offset(seed: int, source: int) -> float:
    digest = blake2b(f"mixture {seed} {source}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") + 0.5) / 2.0**64
