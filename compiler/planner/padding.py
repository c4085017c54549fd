"""To what length a packed sequence is padded, so that the axes that split it come out even."""

from __future__ import annotations

from math import lcm

from compiler.ir.machine import Parallel


def padding_unit(parallel: Parallel[object]) -> int:
    """Return the number of tokens of which every sequence has a multiple; an axis that is open counts as 1.

    Sequence parallelism cuts it into tp parts.  Context parallelism cuts it into 2 x cp, of which a GPU has an early
    and a late one, so that all have the same share of a causal mask.
    """
    tp, cp = (size if isinstance(size, int) else 1 for size in (parallel.tp, parallel.cp))
    one, other = tp if parallel.sp is True else 1, 2 * cp if cp > 1 else 1
    return lcm(one, other)


def padded(tokens: int, unit: int) -> int:
    """Return the length after padding."""
    return -(-tokens // unit) * unit
