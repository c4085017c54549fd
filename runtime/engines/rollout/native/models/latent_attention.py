"""Multi-head latent attention: one narrow vector of each token stands for the keys and values of all heads.

A head's key without a position is a product of the vector, its value is another one.  Neither is made: the first
product is taken over to the query, the second to the mixture of vectors, so that all heads attend to the vectors
themselves, as if they shared one key-value head, and the cache holds nothing else.
Paper: DeepSeek-V2, arXiv:2405.04434, section 2.1 and appendix C.

Shapes: N tokens, D model, Q query heads, H a head's query and key, P those of its channels without a position, R those
that turn, L the vector, V a head's value, A rows of a fused projection, W width of the compressed query.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, Latent
from runtime.engines.rollout.native.models.attention import AttentionShape
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.rotary import turned
from runtime.engines.rollout.native.models.weight import Weight, paired, plain, side_by_side

# That of the norms of the compressed vectors, whatever the other norms have.
_EPS = 1e-6


class LatentAttention:
    """The projections of one layer."""

    def __init__(self, model: Model[Never], facts: Architecture, latent: Latent) -> None:
        heads, width = model.num_heads, model.hidden_size
        head_dim, key_dim = latent.plain_dim + latent.turning_dim, latent.rank + latent.turning_dim
        self.shape = AttentionShape(heads, 1, key_dim, latent.rank, head_dim**-0.5 * facts.attention_sharpening)
        self.out_DA = torch.zeros(width, heads * latent.value_dim)
        self._latent = latent
        self._head_dim = head_dim
        self._num_down = latent.query_rank or heads * head_dim
        self._down_AD = torch.zeros(self._num_down + key_dim, width)
        self._query_norm = Norm(latent.query_rank, eps=_EPS) if latent.query_rank else None
        self._query_AW = torch.zeros(heads * head_dim, latent.query_rank) if latent.query_rank else None
        self._norm = Norm(latent.rank, eps=_EPS)
        self._up_AL = torch.zeros(heads * (latent.plain_dim + latent.value_dim), latent.rank)
        self._key_QPL, value_QVL = self._up_AL.unflatten(0, (heads, -1)).split((latent.plain_dim, latent.value_dim), 1)
        self._value_QLV = value_QVL.transpose(1, 2)
        self._is_paired = not facts.rope_interleaved

    def project(self, normed_ND: Tensor, turn_N1R: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return queries [N, Q, L + R] and the keys [N, 1, L + R] that they share, whose first channels are values."""
        latent = self._latent
        query_NA, vector_NL, turning_NR = F.linear(normed_ND, self._down_AD).split(
            (self._num_down, latent.rank, latent.turning_dim), dim=-1
        )
        if self._query_norm is not None and self._query_AW is not None:
            query_NA = F.linear(self._query_norm(query_NA), self._query_AW)
        plain_NQP, rotated_NQR = query_NA.unflatten(-1, (-1, self._head_dim)).split(
            (latent.plain_dim, latent.turning_dim), dim=-1
        )
        absorbed_NQL = torch.bmm(plain_NQP.transpose(0, 1), self._key_QPL).transpose(0, 1)
        query = torch.cat([absorbed_NQL, turned(rotated_NQR.contiguous(), turn_N1R)], dim=-1)
        key = torch.cat([self._norm(vector_NL), turned(turning_NR.contiguous()[:, None], turn_N1R)[:, 0]], dim=-1)
        return query, key[:, None], None

    def finished(self, mixed_NA: Tensor) -> Tensor:
        """Return what the output projection reads of the mixed vectors of all heads."""
        mixed_QNL = mixed_NA.unflatten(-1, (-1, self._latent.rank)).transpose(0, 1)
        return torch.bmm(mixed_QNL, self._value_QLV).transpose(0, 1).flatten(1)

    def weights(self, prefix: str) -> Iterator[Weight]:
        """Yield the weights in the order of Hugging Face."""
        latent = self._latent
        query_AD, vector_AD = self._down_AD.split((self._num_down, latent.rank + latent.turning_dim))
        if self._query_norm is None or self._query_AW is None:
            yield self._turning(prefix + "q_proj.weight", query_AD, after=latent.plain_dim)
        else:
            yield plain(prefix + "q_a_proj.weight", query_AD)
            yield plain(prefix + "q_a_layernorm.weight", self._query_norm.weight)
            yield self._turning(prefix + "q_b_proj.weight", self._query_AW, after=latent.plain_dim)
        yield self._turning(prefix + "kv_a_proj_with_mqa.weight", vector_AD, after=latent.rank)
        yield plain(prefix + "kv_a_layernorm.weight", self._norm.weight)
        yield plain(prefix + "kv_b_proj.weight", self._up_AL)
        yield plain(prefix + "o_proj.weight", self.out_DA)

    def _turning(self, name: str, stored: Tensor, *, after: int) -> Weight:
        if not self._is_paired:
            return plain(name, stored)
        num_turned = self._latent.turning_dim
        order = side_by_side(after + num_turned, first=after, num_turned=num_turned)
        return paired(name, stored, head_dim=after + num_turned, order=order)
