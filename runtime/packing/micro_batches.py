"""Cuts of a global batch into micro-batches, over lengths only.

By token budget: best-fit decreasing, the fullest micro-batch that still has room takes the next longest sequence.  By
count: in input order.  Both depend on nothing but their arguments.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

MicroBatches = tuple[tuple[int, ...], ...]


def pack_by_tokens(lengths: Sequence[int], *, max_tokens: int) -> MicroBatches:
    """Return micro-batches of sequence indices, each of at most `max_tokens` tokens, every sequence exactly once.

    Equal lengths keep their input order, so samples of one group tend to stay together.  Indices within a micro-batch
    ascend.

    Raises: SpecError RLC0642 if a sequence alone is above the budget.
    """
    longest = max(lengths, default=0)
    if longest > max_tokens:
        raise SpecError(_oversize(lengths.index(longest), longest, max_tokens))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens still free, index into bins), ascending
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        at = bisect_left(room, (lengths[i], -1))
        if at == len(room):
            bins.append([])
            free, chosen = max_tokens, len(bins) - 1
        else:
            free, chosen = room.pop(at)
        bins[chosen].append(i)
        insort(room, (free - lengths[i], chosen))
    return tuple(tuple(sorted(b)) for b in bins)


def pack_by_count(num_sequences: int, *, micro_batch: int) -> MicroBatches:
    """Return micro-batches of `micro_batch` consecutive indices; the last one may be smaller."""
    starts = range(0, num_sequences, micro_batch)
    return tuple(tuple(range(start, min(start + micro_batch, num_sequences))) for start in starts)


def _oversize(sequence: int, tokens: int, max_tokens: int) -> Diagnostic:
    return Diagnostic(
        "RLC0642",
        f"sequence {sequence} of the batch has {tokens} tokens, above the {max_tokens} of one micro-batch",
        help=(Help(f"set train.packing.tokens to at least {tokens}", sets=(("train.packing.tokens", str(tokens)),)),),
        paths=("train.packing.tokens",),
    )
