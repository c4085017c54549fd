"""Causal attention over packed sequences that may share prefixes, as a function transformers can call.

Linear layers see [1, U, D]: every distinct prefix of the micro-batch once, no padding.  Attention gathers the paths of
similar length into right-padded tables and works on those; with a causal mask, padding on the right can only be seen
by padding.  One gather with precomputed indices undoes sharing, pads, and turns [token, head] into [head, token].

Short rows use plain matrix products, whose cost is a few hundred microseconds where a fused kernel needs several times
as much; long rows use the fused kernel, which never holds L * L scores.

Shape letters: U nodes (distinct prefixes), N sequences, L longest of a bucket, H query heads, K key-value heads,
Q = H / K query heads of one key-value head, E width of a query and a key, V width of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from runtime.packing.prefixes import Forest

ATTENTION_NAME = "rlc_packed"
MAX_PLAIN_TOKENS = 128


class Heads(NamedTuple):
    """Numbers of query heads and of key-value heads."""

    num_heads: int
    num_kv_heads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """Sequences of similar length.

    queries: [N * H * L] rows of the [U * H, E] queries.
    keys: [N * K * L] rows of the [U * K, E] keys and [U * K, V] values.
    mask_QL: [Q * L, L] additive causal mask; None where the fused kernel is used.
    """

    num_sequences: int
    max_tokens: int
    queries: Tensor
    keys: Tensor
    mask_QL: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionLayout:
    """Where each node's attention happens.  outputs: [U * H] rows of the buckets' outputs laid end to end."""

    buckets: tuple[Bucket, ...]
    outputs: Tensor

    def to(self, device: torch.device) -> AttentionLayout:
        """Return the layout on a device."""
        buckets = tuple(
            replace(
                bucket,
                queries=bucket.queries.to(device),
                keys=bucket.keys.to(device),
                mask_QL=None if bucket.mask_QL is None else bucket.mask_QL.to(device),
            )
            for bucket in self.buckets
        )
        return AttentionLayout(buckets=buckets, outputs=self.outputs.to(device))


class OtherLayout(Protocol):
    """A layout of those who do not have all nodes."""

    def to(self, device: torch.device) -> OtherLayout:
        """Return the layout on a device."""
        ...

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Return [1, U, H, V] attention outputs; arguments as packed_attention has them."""
        ...


def attention_layout(forest: Forest, heads: Heads) -> AttentionLayout:
    """Return the layout for one micro-batch; all layers share it."""
    num_heads = heads.num_heads
    lengths = [len(path) for path in forest.paths]
    base, stride = [0] * len(lengths), [0] * len(lengths)
    buckets: list[Bucket] = []
    rows_before = 0
    for members in bucket_by_length(lengths):
        width = lengths[members[0]]
        for row, i in enumerate(members):
            base[i], stride[i] = rows_before + row * num_heads * width, width
        rows_before += len(members) * num_heads * width
        buckets.append(_bucket([forest.paths[i] for i in members], width, heads))
    own = [(i, len(forest.paths[i]) - forest.first_own[i]) for i in forest.owners]
    first_U = torch.tensor(
        list(chain.from_iterable(range(base[i] + forest.first_own[i], base[i] + lengths[i]) for i, _ in own)),
        dtype=torch.int64,
    )
    stride_U = torch.tensor([stride[i] for i, _ in own], dtype=torch.int64).repeat_interleave(
        torch.tensor([count for _, count in own], dtype=torch.int64)
    )
    outputs_UH = first_U[:, None] + stride_U[:, None] * torch.arange(num_heads)
    return AttentionLayout(buckets=tuple(buckets), outputs=outputs_UH.flatten())


def bucket_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Return indices by descending length, cut where padding would exceed a quarter of the longest and 16 tokens."""
    buckets: list[list[int]] = []
    for i in sorted((i for i, n in enumerate(lengths) if n > 0), key=lambda i: (-lengths[i], i)):
        longest = lengths[buckets[-1][0]] if buckets else 0
        if buckets and longest - lengths[i] <= max(16, longest // 4):
            buckets[-1].append(i)
        else:
            buckets.append([i])
    return buckets


def _bucket(paths: list[list[int]], width: int, heads: Heads) -> Bucket:
    rows_NL = torch.tensor([path + [path[-1]] * (width - len(path)) for path in paths], dtype=torch.int64)
    num_heads, num_kv_heads = heads
    mask_QL = None
    if width <= MAX_PLAIN_TOKENS:
        mask_LL = torch.full((width, width), -torch.inf).triu(1)
        mask_QL = mask_LL.repeat(num_heads // num_kv_heads, 1)
    return Bucket(
        num_sequences=len(paths),
        max_tokens=width,
        queries=_head_rows(rows_NL, num_heads),
        keys=_head_rows(rows_NL, num_kv_heads),
        mask_QL=mask_QL,
    )


def _head_rows(rows_NL: Tensor, num_heads: int) -> Tensor:
    return (rows_NL[:, None, :] * num_heads + torch.arange(num_heads)[None, :, None]).flatten()


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: AttentionLayout | OtherLayout,
    **_unused: object,
) -> tuple[Tensor, None]:
    """Return [1, U, H, V] attention outputs for [1, H, U, E] queries, [1, K, U, E] keys and [1, K, U, V] values.

    The signature is that of transformers' attention functions; `layout` reaches it through the model's keyword
    arguments.  There is no mask to be given: causality and sequence borders are in the layout.
    """
    if not isinstance(layout, AttentionLayout):
        return layout.attend(query, key, value, scaling=scaling), None
    num_heads, num_kv_heads, width = query.shape[1], key.shape[1], query.shape[3]
    value_width = value.shape[3]
    q, k, v = (x.transpose(1, 2).reshape(-1, x.shape[3]) for x in (query, key, value))
    outs = []
    for bucket in layout.buckets:
        n, length = bucket.num_sequences, bucket.max_tokens
        qb, kb, vb = q.index_select(0, bucket.queries), k.index_select(0, bucket.keys), v.index_select(0, bucket.keys)
        if bucket.mask_QL is None:
            # The fused kernel knows one width; zeros change neither a score nor the channels that are kept.
            widest = max(width, value_width)
            out = F.scaled_dot_product_attention(
                _widened(qb, widest).view(n, num_heads, length, widest).to(vb.dtype),
                _widened(kb, widest).view(n, num_kv_heads, length, widest).to(vb.dtype),
                _widened(vb, widest).view(n, num_kv_heads, length, widest),
                is_causal=True,
                scale=scaling,
                enable_gqa=True,
            )[..., :value_width]
        else:
            shape, value_shape = (n * num_kv_heads, length, width), (n * num_kv_heads, length, value_width)
            scores = torch.baddbmm(
                bucket.mask_QL, qb.view(n * num_kv_heads, -1, width), kb.view(shape).transpose(1, 2), alpha=scaling
            )
            out = torch.bmm(scores.softmax(dim=-1), vb.view(value_shape))
        outs.append(out.reshape(-1, value_width))
    flat = outs[0] if len(outs) == 1 else torch.cat(outs)
    return flat.index_select(0, layout.outputs).view(1, -1, num_heads, value_width), None


def _widened(rows: Tensor, width: int) -> Tensor:
    return rows if rows.shape[1] == width else F.pad(rows, (0, width - rows.shape[1]))


def register_packed_attention() -> str:
    """Make the function known to transformers and return its name.  No mask function goes with it, so none is built."""
    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    return ATTENTION_NAME
