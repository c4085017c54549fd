"""Attention over packed sequences that context parallelism may split, in the place of TransformerEngine's.

A rank of a context-parallel group holds of each sequence two slices of 2 c equal ones, its own from either end.  Keys
and values are gathered, and a mask says who sees whom.

Shape letters: S local tokens, K tokens of all ranks, H heads, E width of a query, V of a value.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.transformer.module import MegatronModule
from torch import Tensor
from typing_extensions import override


class _Gathered(torch.autograd.Function):
    """[S, ...] of each rank -> [K, ...]; a rank's gradient is the sum of what all make of its part."""

    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        ctx, part, group = args
        ctx.group, ctx.length = group, part.shape[0]
        parts = [torch.empty_like(part) for _ in range(group.size())]
        dist.all_gather(parts, part.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        grad = grad_outputs[0].contiguous()
        dist.all_reduce(grad, group=ctx.group)
        return grad.split(ctx.length)[ctx.group.rank()], None


def held_by(rank: int, size: int, borders: list[int]) -> Tensor:
    """Return [S, 2] sequence and position of each token that a rank holds, of sequences from border to border."""
    found: list[tuple[int, int]] = []
    for sequence, (first, end) in enumerate(pairwise(borders)):
        width = (end - first) // (2 * size) if size > 1 else end - first
        slices = (rank, 2 * size - 1 - rank) if size > 1 else (0,)
        found += [(sequence, position) for at in slices for position in range(at * width, (at + 1) * width)]
    return torch.tensor(found).view(-1, 2)


class PackedAttention(MegatronModule):
    """Takes the place of `core_attention`; queries, keys and values come with their positions in them."""

    def __init__(self, config: Any, softmax_scale: float | None = None, pg_collection: Any = None, **_: Any) -> None:
        super().__init__(config=config)
        self._scale = softmax_scale
        self._group = getattr(pg_collection, "cp", None) or parallel_state.get_context_parallel_group()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, packed_seq_params: Any, **__: Any) -> Tensor:
        """Return [S, H V]."""
        group = self._group
        borders = packed_seq_params.cu_seqlens_q.tolist()
        own_S2 = held_by(group.rank(), group.size(), borders)
        all_K2 = torch.cat([held_by(rank, group.size(), borders) for rank in range(group.size())])
        if group.size() > 1:
            key, value = _Gathered.apply(key, group), _Gathered.apply(value, group)
        same_SK = own_S2[:, None, 0] == all_K2[None, :, 0]
        seen_SK = same_SK & (own_S2[:, None, 1] >= all_K2[None, :, 1])
        repeats = query.shape[1] // key.shape[1]
        q_HSE, k_HKE, v_HKV = (
            x.transpose(0, 1) for x in (query, key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1))
        )
        out = F.scaled_dot_product_attention(q_HSE, k_HKE, v_HKV, attn_mask=seen_SK, scale=self._scale)
        return out.transpose(0, 1).flatten(1)


class WholeLinear(torch.nn.Module):
    """A projection that every tensor-parallel rank holds whole, as TransformerEngine's latent attention has them.

    Without it Megatron splits them, and the gradient of the keys' turning part lacks the heads of all other ranks.
    """

    def __init__(self, input_size: int, output_size: int, *, config: Any, **_: Any) -> None:
        super().__init__()
        weight: Any = torch.nn.Parameter(torch.empty(output_size, input_size, dtype=config.params_dtype))
        weight.sequence_parallel = config.sequence_parallel
        self.weight = weight

    @override
    def forward(self, input_: Tensor) -> tuple[Tensor, None]:
        return F.linear(input_, self.weight), None
