"""Context parallelism: ranks have parts of the nodes of a micro-batch, and gather keys and values for attention.

Everything but attention works on a node by itself.  In attention a rank computes the rows of its own nodes over keys
and values of all, which are gathered, and their gradients added up and scattered, layer by layer.  Nodes are dealt in
turn, there and back, in the order of how many tokens they attend to, so that all ranks have as many nodes and as much
attention as any other, whatever prefixes are shared.
Paper: Llama 3, arXiv:2407.21783, section 3.3.2 (context parallelism by all-gather).

Shape letters: U nodes of all ranks, V those of this one, M wanted tokens, W those whose node this rank has, N
sequences, L longest of a bucket, R most rows of one that this rank has, H query heads, K key-value heads, E width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from runtime.engines.train.packed_attention import Heads, bucket_by_length
from runtime.engines.train.packed_batch import PackedBatch
from runtime.packing.prefixes import Forest


class Context(NamedTuple):
    """The ranks of the axis cp, and which of them this is."""

    group: Any
    size: int
    rank: int


class ContextShare(NamedTuple):
    """This rank's part of a micro-batch.

    local: what its forward pass reads.  tokens_W: [W] which of the wanted tokens are its; sources_W: [W] its node
    before each of them.
    """

    local: PackedBatch
    tokens_W: Tensor
    sources_W: Tensor


def context_share(filled: PackedBatch, context: Context, heads: Heads) -> ContextShare:
    """Return this rank's part of a micro-batch whose nodes are a multiple of the ranks."""
    num_nodes = filled.tokens_1U.shape[1]
    depth_U = filled.positions_1U[0].clone()
    depth_U[filled.forest.num_nodes :] = -1  # what only fills up attends to nothing
    order_U = depth_U.argsort(descending=True, stable=True).view(-1, context.size)
    order_U[1::2] = order_U[1::2].flip(1)  # there and back
    nodes = [order_U[:, rank] for rank in range(context.size)]
    gathered_U = torch.cat(nodes)
    own_V = nodes[context.rank]
    place_U = torch.full((num_nodes,), -1, dtype=torch.int64)
    place_U[own_V] = torch.arange(len(own_V))
    key_U = torch.empty(num_nodes, dtype=torch.int64)
    key_U[gathered_U] = torch.arange(num_nodes)
    is_own_I, is_own_M = place_U[filled.nodes_I] >= 0, place_U[filled.sources_M] >= 0
    layout: Any = _layout(filled.forest, place_U, key_U, heads, context)
    local = replace(
        filled,
        tokens_1U=filled.tokens_1U[:, own_V],
        positions_1U=filled.positions_1U[:, own_V],
        inputs_I=filled.inputs_I[is_own_I],
        nodes_I=place_U[filled.nodes_I[is_own_I]],
        expert_ids_ULC=None if filled.expert_ids_ULC is None else filled.expert_ids_ULC[own_V],
        layout=layout,
    )
    return ContextShare(local, is_own_M.nonzero()[:, 0], place_U[filled.sources_M[is_own_M]])


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Sequences of similar length.

    queries: [N * H * R] rows of this rank's [V * H, E] queries; keys: [N * K * L] rows of all ranks' [U * K, E] keys.
    mask_NRL: [N, 1, R, L] where a row sees a key; one that only pads sees the first.
    """

    num_sequences: int
    num_rows: int
    num_keys: int
    queries: Tensor
    keys: Tensor
    mask_NRL: Tensor


@dataclass(frozen=True, slots=True)
class ContextLayout:
    """Where the attention of this rank's nodes happens.  outputs: [V * H] rows of the buckets' outputs end to end."""

    buckets: tuple[_Bucket, ...]
    outputs: Tensor
    context: Context

    def to(self, device: torch.device) -> ContextLayout:
        """Return the layout on a device."""
        buckets = tuple(
            replace(b, queries=b.queries.to(device), keys=b.keys.to(device), mask_NRL=b.mask_NRL.to(device))
            for b in self.buckets
        )
        return ContextLayout(buckets, self.outputs.to(device), self.context)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Return [1, V, H, .] attention outputs for [1, H, V, E] queries and [1, K, V, .] keys and values."""
        num_heads, num_kv_heads, width, value_width = query.shape[1], key.shape[1], query.shape[3], value.shape[3]
        q = query.transpose(1, 2).reshape(-1, width)
        both: Tensor = _Gathered.apply(torch.cat([key, value], dim=3)[0].transpose(0, 1).contiguous(), self.context)
        rows = both.reshape(-1, width + value_width)
        outs = []
        for bucket in self.buckets:
            n = bucket.num_sequences
            k, v = (
                rows.index_select(0, bucket.keys)
                .view(n, num_kv_heads, bucket.num_keys, -1)
                .split([width, value_width], dim=3)
            )
            out = F.scaled_dot_product_attention(
                q.index_select(0, bucket.queries).view(n, num_heads, bucket.num_rows, width).to(v.dtype),
                k,
                v,
                attn_mask=bucket.mask_NRL,
                scale=scaling,
                enable_gqa=True,
            )
            outs.append(out.reshape(-1, value_width))
        if not outs:
            # A rank without a row takes part in what the others gather, and in the sum of its gradients.
            return query.new_zeros(1, query.shape[2], num_heads, value_width) + (both.sum() + q.sum()) * 0.0
        flat = outs[0] if len(outs) == 1 else torch.cat(outs)
        return flat.index_select(0, self.outputs).view(1, -1, num_heads, value_width)


def _layout(forest: Forest, place_U: Tensor, key_U: Tensor, heads: Heads, context: Context) -> ContextLayout:
    """Return where the rows of a rank's nodes are computed: each in the sequence that is the first to have it."""
    num_heads, num_kv_heads = heads
    paths = [torch.tensor(path, dtype=torch.int64) for path in forest.paths]
    rows: list[Tensor] = []  # of each sequence the positions of its own nodes that this rank has
    for path, first in zip(paths, forest.first_own, strict=True):
        own = (place_U[path[first:]] >= 0).nonzero()[:, 0] + first
        rows.append(own)
    counts = [int(own[-1]) + 1 if len(own) else 0 for own in rows]
    base_V = torch.zeros(int((place_U >= 0).sum()), dtype=torch.int64)
    stride_V = torch.zeros_like(base_V)
    buckets: list[_Bucket] = []
    before = 0
    for members in bucket_by_length(counts):
        most, num_keys = max(len(rows[i]) for i in members), counts[members[0]]
        queries_NR = torch.zeros(len(members), most, dtype=torch.int64)
        keys_NL = torch.zeros(len(members), num_keys, dtype=torch.int64)
        seen_NR = torch.zeros(len(members), most, dtype=torch.int64)
        for row, i in enumerate(members):
            own, path = rows[i], paths[i]
            local = place_U[path[own]]
            queries_NR[row, : len(own)], seen_NR[row, : len(own)] = local, own
            keys_NL[row, : counts[i]] = key_U[path[: counts[i]]]
            base_V[local] = before + row * num_heads * most + torch.arange(len(own))
            stride_V[local] = most
        mask_NRL = torch.arange(num_keys) <= seen_NR[:, :, None]
        buckets.append(
            _Bucket(
                num_sequences=len(members),
                num_rows=most,
                num_keys=num_keys,
                queries=_head_rows(queries_NR, num_heads),
                keys=_head_rows(keys_NL, num_kv_heads),
                mask_NRL=mask_NRL[:, None],
            )
        )
        before += len(members) * num_heads * most
    # What only fills up has neither a base nor a stride, and takes over the first row.
    outputs_VH = base_V[:, None] + stride_V[:, None] * torch.arange(num_heads)
    return ContextLayout(tuple(buckets), outputs_VH.flatten(), context)


def _head_rows(rows_NR: Tensor, num_heads: int) -> Tensor:
    return (rows_NR[:, None, :] * num_heads + torch.arange(num_heads)[None, :, None]).flatten()


class _Gathered(torch.autograd.Function):
    """Rows of all ranks, one rank after the other."""

    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        ctx, own, context = args
        ctx.context = context
        every = own.new_empty((own.shape[0] * context.size, *own.shape[1:]))
        dist.all_gather_single(every, own, group=context.group)
        return every

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _scattered(ctx, *grad_outputs)


@once_differentiable
def _scattered(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    own = grad.new_empty((grad.shape[0] // ctx.context.size, *grad.shape[1:]))
    dist.reduce_scatter_single(own, grad.contiguous(), group=ctx.context.group)
    return own, None


def of_all_ranks(values_W: Tensor, share: ContextShare, num_wanted: int, context: Context) -> Tensor:
    """Return [M] the values of all wanted tokens.

    Every rank makes the same of them, so what it finds as the gradient of its own is that of the whole loss.
    """
    found: Tensor = _Joined.apply(values_W, share.tokens_W, num_wanted, context)
    return found


class _Joined(torch.autograd.Function):
    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        ctx, values_W, tokens_W, num_wanted, context = args
        ctx.save_for_backward(tokens_W)
        every_M = values_W.new_zeros(num_wanted)
        every_M[tokens_W] = values_W
        dist.all_reduce(every_M, group=context.group)
        return every_M

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (tokens_W,) = ctx.saved_tensors
        return grad_outputs[0][tokens_W], None, None, None
