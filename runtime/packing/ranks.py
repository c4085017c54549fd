"""Shares of one optimizer step for data-parallel ranks.

Ranks meet after every micro-batch or at least at the end of the step, so all have the same number of them.  Nothing
crosses optimizer steps: who has several calls once for each.  A trainer of one process has no use for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never

from compiler.ir.openness import Off
from compiler.ir.training import Packing
from runtime.packing.micro_batches import MicroBatches, costs_of, pack_by_tokens
from runtime.packing.partition import karmarkar_karp


def share_by_tokens(
    lengths: Sequence[int], packing: Packing[Never], *, num_ranks: int, max_tokens: int, seed: int, multiple: int = 1
) -> tuple[MicroBatches, ...]:
    """Return the micro-batches of each rank.

    They are dealt in turn; where they are balanced, so are the ranks, each again with as many as any other.

    Args:
        lengths: as long as the sequences are once they are padded for the axes that split them.
        multiple: what the number of one rank's micro-batches is a multiple of, as interleaved pipelines need.

    Raises: SpecError RLC0642 if a sequence alone is above the budget; ValueError if there are too few sequences.
    """
    cut = pack_by_tokens(lengths, packing, max_tokens=max_tokens, seed=seed, multiple=num_ranks * multiple)
    if isinstance(packing.balance, Off):
        return tuple(cut[rank::num_ranks] for rank in range(num_ranks))
    costs = costs_of(lengths, packing)
    loads = [sum(costs[i] for i in part) for part in cut]
    dealt = karmarkar_karp(loads, num_parts=num_ranks, equal_counts=True)
    return tuple(tuple(cut[at] for at in share) for share in dealt)


def share_by_count(num_sequences: int, *, micro_batch: int, num_ranks: int) -> tuple[MicroBatches, ...]:
    """Return the micro-batches of each rank, of `micro_batch` consecutive sequences; ranks have consecutive shares.

    Raises: ValueError if the sequences are not a multiple of both together.
    """
    if num_sequences % (micro_batch * num_ranks):
        raise ValueError(f"{num_sequences} sequences are not dealt to {num_ranks} ranks {micro_batch} at a time")
    each = num_sequences // num_ranks
    return tuple(
        tuple(tuple(range(at, at + micro_batch)) for at in range(rank * each, (rank + 1) * each, micro_batch))
        for rank in range(num_ranks)
    )


def share_by_padded_tokens(
    lengths: Sequence[int], *, num_ranks: int, max_tokens: int, pad_multiple: int = 1
) -> tuple[MicroBatches, ...]:
    """Return the micro-batches of each rank for a trainer that pads the sequences of one to the same length.

    Sequences are dealt by ascending length, and a micro-batch grows as long as its sequences times the longest of them
    on any rank, padded to a multiple, are within the budget; so all ranks cut at the same places.

    Raises: ValueError if the sequences are not a multiple of the ranks, or one alone is above the budget.
    """
    if len(lengths) % num_ranks:
        raise ValueError(f"{len(lengths)} sequences cannot be dealt to {num_ranks} ranks")
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    starts: list[int] = []
    for row in range(len(order) // num_ranks):
        longest = -(-lengths[order[(row + 1) * num_ranks - 1]] // pad_multiple) * pad_multiple
        if longest > max_tokens:
            raise ValueError(f"a sequence of {longest} tokens is above the {max_tokens} of one micro-batch")
        if not starts or (row + 1 - starts[-1]) * longest > max_tokens:
            starts.append(row)
    ends = [*starts[1:], len(order) // num_ranks]
    return tuple(
        tuple(
            tuple(order[row * num_ranks + rank] for row in range(start, end))
            for start, end in zip(starts, ends, strict=bool(starts))
        )
        for rank in range(num_ranks)
    )
