"""Parts of weights: which of a whole tensor a rank has, and the whole put together again.

A weight is first cut for tensor parallelism, along one dimension, and what a rank has of it then lies in shards along
its first dimension, as fully_shard cuts: ceil(n / shards) rows each, the last ones fewer or none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from runtime.engines.train.fsdp2_ranks import Ranks


class Cut(NamedTuple):
    """How tensor parallelism cuts a weight: along `dim`, each of `parts` equal parts of it by itself."""

    dim: int
    parts: int = 1


class Piece(NamedTuple):
    """The part of a weight that this rank has.

    shape: of the whole.  local: the live part, flat-sharded along its first dimension.  cut: of tensor parallelism, or
    None where all of its ranks have the same.  is_sharded: whether ranks of dp_shard x cp have different parts.
    """

    shape: torch.Size
    local: Tensor
    cut: Cut | None
    is_sharded: bool


def part_of(whole: Tensor, piece: Piece, ranks: Ranks) -> Tensor:
    """Return this rank's part of a whole tensor of the piece's shape."""
    sliced = slice_of(whole, piece.cut, ranks)
    if not piece.is_sharded:
        return sliced
    rows = -(-sliced.shape[0] // ranks.num_shards)
    return sliced[rows * ranks.shard : rows * (ranks.shard + 1)]


def slice_of(whole: Tensor, cut: Cut | None, ranks: Ranks) -> Tensor:
    """Return what tensor parallelism leaves to this rank."""
    if cut is None or ranks.num_slices == 1:
        return whole
    taken = [_chunk(part, cut.dim, ranks.num_slices, ranks.slice) for part in whole.chunk(cut.parts, cut.dim)]
    return taken[0] if len(taken) == 1 else torch.cat(taken, cut.dim)


def whole_of(local: Tensor, piece: Piece, ranks: Ranks) -> Tensor:
    """Return the whole of a part that is laid out as the piece is; collective over the ranks that share it."""
    sliced = local.detach().to(ranks.device)
    if piece.is_sharded and ranks.num_shards > 1:
        length = _slice_length(piece, ranks.slice, ranks)
        rows = -(-length // ranks.num_shards)
        sizes = [max(0, min(rows, length - rows * shard)) for shard in range(ranks.num_shards)]
        sliced = _gathered(sliced, sizes, ranks.shard_group)
    if piece.cut is None or ranks.num_slices == 1:
        return sliced
    dim, parts = piece.cut
    every = [_length(piece.shape[dim] // parts, ranks.num_slices, at) * parts for at in range(ranks.num_slices)]
    joined = _gathered(sliced.movedim(dim, 0).contiguous(), every, ranks.tensor_group)
    slices = [slice_.chunk(parts) for slice_ in joined.split(every)]
    ordered = torch.cat([slice_[part] for part in range(parts) for slice_ in slices])
    return ordered.movedim(0, dim).contiguous()


def parts_of_all(local: Tensor, group: Any) -> list[Tensor]:
    """Return what each rank of a group has, whose numbers of rows may differ."""
    sizes = [torch.zeros(1, dtype=torch.int64, device=local.device) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, torch.tensor([local.shape[0]], device=local.device), group=group)
    counts = [int(size) for size in sizes]
    return list(_gathered(local.contiguous(), counts, group).split(counts))


def _gathered(local: Tensor, sizes: list[int], group: Any) -> Tensor:
    """Return the rows of all ranks of a group, which has sizes[r] of rank r."""
    padded = local.new_zeros((max(sizes), *local.shape[1:]))
    padded[: local.shape[0]] = local
    every = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(every, padded, group=group)
    return torch.cat([rows[:size] for rows, size in zip(every, sizes, strict=True)])


def _slice_length(piece: Piece, at: int, ranks: Ranks) -> int:
    length = piece.shape[0]
    if piece.cut is None or piece.cut.dim != 0 or ranks.num_slices == 1:
        return length
    return _length(length // piece.cut.parts, ranks.num_slices, at) * piece.cut.parts


def _length(total: int, count: int, at: int) -> int:
    rows = -(-total // count)
    return max(0, min(rows, total - rows * at))


def _chunk(tensor: Tensor, dim: int, count: int, at: int) -> Tensor:
    rows = -(-tensor.shape[dim] // count)
    start = min(rows * at, tensor.shape[dim])
    return tensor.narrow(dim, start, min(rows, tensor.shape[dim] - start))
