"""Attention whose key-value heads are shared by groups of query heads: its weights, and what is made of its input.

Weights that read the same input are fused.  The rows of the query and key projections are stored with the two halves of
each rotary pair side by side, so that the rotation is one product of complex numbers; attention scores do not change
when both are permuted alike.

Shapes: N tokens, D model, Q query heads, K key-value heads, H head width, A rows of the fused projection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.rotary import turned
from runtime.engines.rollout.native.models.weight import Weight, paired, plain, repeated, side_by_side


class AttentionShape(NamedTuple):
    """What a cache holds of a token, and how scores are made of it.

    num_queries, num_keys: heads.  key_dim: width of a query and a key.
    value_dim: where the values are the first channels of the keys and not held apart, how many; else None.
    scale: multiplies the scores.
    """

    num_queries: int
    num_keys: int
    key_dim: int
    value_dim: int | None
    scale: float


class GroupedAttention:
    """The projections of one layer."""

    def __init__(self, model: Model[Never], facts: Architecture) -> None:
        queries, keys, head_dim = model.num_heads, model.num_kv_heads, model.head_dim
        num_rows = (queries + 2 * keys) * head_dim
        self.shape = AttentionShape(queries, keys, head_dim, None, head_dim**-0.5)
        self.out_DA = torch.zeros(model.hidden_size, queries * head_dim)
        self._head_counts = (queries, keys, keys)
        self._num_rotated = queries + keys
        self._qkv_AD = torch.zeros(num_rows, model.hidden_size)
        self._bias_A = torch.zeros(num_rows) if facts.qkv_bias else None
        self._qk_norm = Norm(self._num_rotated, head_dim, eps=model.norm_eps) if facts.qk_norm else None
        self._is_paired = not facts.rope_interleaved
        self._order_H = side_by_side(head_dim, first=0, num_turned=int(head_dim * facts.rope_fraction))

    def project(self, normed_ND: Tensor, turn_N1H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [N, Q, H], keys and values [N, K, H], the first two normed and rotated."""
        fused_NA = F.linear(normed_ND, self._qkv_AD, self._bias_A)
        heads_NAH = fused_NA.view(normed_ND.shape[0], -1, self.shape.key_dim)
        rotated = heads_NAH[:, : self._num_rotated]
        if self._qk_norm is not None:
            rotated = self._qk_norm(rotated)
        query, key = turned(rotated, turn_N1H).split(self._head_counts[:2], dim=1)
        return query, key, heads_NAH[:, self._num_rotated :]

    def finished(self, mixed_NA: Tensor) -> Tensor:
        """Return what the output projection reads of the mixed values of all heads."""
        return mixed_NA

    def weights(self, prefix: str) -> Iterator[Weight]:
        """Yield the weights in the order of Hugging Face."""
        head_dim = self.shape.key_dim
        sizes = [n * head_dim for n in self._head_counts]
        biases = [None] * 3 if self._bias_A is None else self._bias_A.split(sizes)
        for letter, weight, bias in zip("qkv", self._qkv_AD.split(sizes), biases, strict=True):
            for kind, stored in (("weight", weight), ("bias", bias)):
                if stored is not None and self._is_paired and letter != "v":
                    yield paired(f"{prefix}{letter}_proj.{kind}", stored, head_dim=head_dim, order=self._order_H)
                elif stored is not None:
                    yield plain(f"{prefix}{letter}_proj.{kind}", stored)
        yield plain(prefix + "o_proj.weight", self.out_DA)
        if self._qk_norm is not None:
            for letter, norm_AH in zip("qk", self._qk_norm.weight.split(self._head_counts[:2]), strict=True):
                name = f"{prefix}{letter}_norm.weight"
                yield repeated(name, norm_AH, is_paired=self._is_paired, order=self._order_H)
