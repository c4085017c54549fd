"""The order in which the rows of a data set are drawn.

A position counts the rows drawn since the stage began.  The row at a position is a pure function of the number of
rows, the seed and the position, so a run resumes exactly from one integer.  Each epoch is a permutation of its own; the
last rows of an epoch and the first of the next share a draw, so no row is left out.

The permutation sorts the rows by 64-bit hashes of (seed, epoch, row): unlike a library's shuffle, it does not change
with the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class DataOrder:
    """Maps positions to row indices.

    Args:
        num_rows: rows of the data set, at least one.
        seed: of the stage's data stream.
        shuffle: whether each epoch has its own order; otherwise rows come as they are in the files.
    """

    def __init__(self, num_rows: int, *, seed: int, shuffle: bool) -> None:
        if num_rows < 1:
            raise ValueError("an order needs at least one row")
        self._num_rows, self._seed, self._shuffle = num_rows, seed, shuffle
        self._drawn: tuple[int, NDArray[np.int64]] | None = None

    def take(self, position: int, count: int) -> tuple[int, ...]:
        """Return the row indices at `count` positions from `position` on; it may span several epochs."""
        rows: list[int] = []
        while len(rows) < count:
            epoch, at = divmod(position + len(rows), self._num_rows)
            rows += self._epoch(epoch)[at : at + count - len(rows)].tolist()
        return tuple(rows)

    def from_position(self, position: int) -> Iterator[int]:
        """Yield the row indices from a position on, without an end."""
        epoch, at = divmod(position, self._num_rows)
        while True:
            yield from self._epoch(epoch)[at:].tolist()
            epoch, at = epoch + 1, 0

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if not self._shuffle:
            epoch = 0
        if self._drawn is None or self._drawn[0] != epoch:
            order = (
                permutation(self._num_rows, seed=self._seed, epoch=epoch) if self._shuffle else _rows(self._num_rows)
            )
            self._drawn = epoch, order
        return self._drawn[1]


def permutation(num_rows: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of one epoch: [num_rows] int64, each row index once."""
    digest = blake2b(f"rows {seed} {epoch}".encode(), digest_size=16).digest()
    first, second = np.frombuffer(digest, dtype="<u8")
    counter = np.arange(num_rows, dtype=np.uint64)
    return np.argsort(_mix(_mix(counter * _INCREMENT + first) ^ second), kind="stable")


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of splitmix64, a bijection on 64 bits: distinct rows have distinct hashes, so there are no ties.
    x = (x ^ (x >> np.uint64(30))) * _FACTORS[0]
    x = (x ^ (x >> np.uint64(27))) * _FACTORS[1]
    return x ^ (x >> np.uint64(31))


def _rows(num_rows: int) -> NDArray[np.int64]:
    return np.arange(num_rows, dtype=np.int64)
