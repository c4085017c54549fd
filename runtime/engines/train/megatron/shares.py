"""Which sequences of a global batch a data-parallel rank trains on, and in which micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never

from compiler.ir.machine import Parallel
from compiler.ir.openness import Off
from runtime.engines.train.torch_ import TrainerSpec
from runtime.packing.micro_batches import MicroBatches, pack_by_count
from runtime.packing.ranks import share_by_tokens
from stdlib.samples import TrainBatch


def shares(batch: TrainBatch, spec: TrainerSpec, parallel: Parallel[Never], *, each: int) -> tuple[MicroBatches, ...]:
    """Return the micro-batches of each data-parallel rank: of all of them as many, where the last ones may be empty.

    Args:
        each: tokens of which every sequence is filled up to a multiple.

    Raises: SpecError RLC0642 if a sequence is above the token budget.
    """
    size = batch.row_size
    starts = range(0, len(batch.lengths_N), size)
    lengths = [sum(-(-n // each) * each for n in batch.lengths_N[at : at + size]) for at in starts]
    found = _of_rows(lengths, spec, parallel)
    if size == 1:
        return found
    return tuple(tuple(tuple(i * size + k for i in row for k in range(size)) for row in rank) for rank in found)


def _of_rows(lengths: Sequence[int], spec: TrainerSpec, parallel: Parallel[Never]) -> tuple[MicroBatches, ...]:
    train, num_ranks = spec.train, parallel.dp
    multiple = parallel.pp if parallel.vpp > 1 else 1  # a pipeline that interleaves takes that many at a time
    if not isinstance(train.micro_batch, Off):
        return _dealt(pack_by_count(len(lengths), micro_batch=train.micro_batch), num_ranks, multiple)
    if isinstance(train.packing.tokens, Off):
        together = max(1, -(-len(lengths) // (num_ranks * multiple)))
        return _dealt(pack_by_count(len(lengths), micro_batch=together), num_ranks, multiple)
    budget = train.packing.tokens
    if len(lengths) >= num_ranks * multiple:
        return share_by_tokens(
            lengths, train.packing, num_ranks=num_ranks, max_tokens=budget, seed=spec.seed, multiple=multiple
        )
    alone = share_by_tokens(lengths, train.packing, num_ranks=1, max_tokens=budget, seed=spec.seed)[0]
    return _dealt(alone, num_ranks, multiple)


def _dealt(cut: MicroBatches, num_ranks: int, multiple: int) -> tuple[MicroBatches, ...]:
    """Return a share for each rank, in turn, and empty ones where there are too few."""
    missing = -len(cut) % (num_ranks * multiple)
    filled = cut + ((),) * missing
    return tuple(filled[rank::num_ranks] for rank in range(num_ranks))
