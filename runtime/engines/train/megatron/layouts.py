"""How the tensors of Hugging Face are cut into the parts that tensor-parallel ranks hold, and put together again.

Exact both ways: nothing is computed, elements only move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from runtime.engines.train.megatron.names import Kind


class Cut(NamedTuple):
    """Along which dimension one tensor of Megatron is split, None where every rank holds it whole; over how many ranks;
    and what its kind needs to know: key-value heads, and rows of the vocabulary.
    """

    kind: Kind
    dim: int | None
    num_ranks: int
    num_kv_heads: int
    vocab_size: int


def part(tensors: Sequence[Tensor], cut: Cut, rank: int) -> Tensor:
    """Return the part of a rank; of an expert, `tensors` are its slice."""
    match cut.kind:
        case "qkv":
            whole = torch.cat([_by_head(x, cut.num_kv_heads) for x in tensors], dim=1).flatten(0, 1)
        case "gated" | "gated_expert":
            return _gated_part(tensors[0].chunk(2), cut, rank)
        case "gated_pair":
            return _gated_part(tensors, cut, rank)
        case "vocabulary":
            missing = -tensors[0].shape[0] % cut.num_ranks
            whole = torch.nn.functional.pad(tensors[0], (0, 0, 0, missing))
        case _:
            whole = tensors[0]
    return whole if cut.dim is None else whole.chunk(cut.num_ranks, dim=cut.dim)[rank]


def joined(parts: Sequence[Tensor], cut: Cut, rows: Sequence[int]) -> list[Tensor]:
    """Return the tensors of Hugging Face, which have so many rows each; the inverse of `part`."""
    whole = parts[0] if cut.dim is None else torch.cat(list(parts), dim=cut.dim)
    match cut.kind:
        case "qkv":
            heads = whole.unflatten(0, (cut.num_kv_heads, -1))
            return [x.flatten(0, 1) for x in heads.split([n // cut.num_kv_heads for n in rows], dim=1)]
        case "gated" | "gated_expert":
            return [torch.cat(_gated_whole(parts, cut))]
        case "gated_pair":
            return _gated_whole(parts, cut)
        case "vocabulary":
            return [whole[: cut.vocab_size]]
        case _:
            return [whole]


def _by_head(tensor: Tensor, num_kv_heads: int) -> Tensor:
    return tensor.unflatten(0, (num_kv_heads, -1))


def _gated_part(tensors: Sequence[Tensor], cut: Cut, rank: int) -> Tensor:
    return torch.cat([x if cut.dim is None else x.chunk(cut.num_ranks)[rank] for x in tensors])


def _gated_whole(parts: Sequence[Tensor], cut: Cut) -> list[Tensor]:
    halves = [x.chunk(2) for x in (parts if cut.dim is not None else parts[:1])]
    return [torch.cat([half[at] for half in halves]) for at in (0, 1)]
