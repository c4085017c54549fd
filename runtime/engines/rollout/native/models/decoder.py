"""The forward pass of decoder-only transformers, without Hugging Face's code, in fp32.

What a family is stands in its facts: biases, norms of queries and keys, norms after attention and
feed-forward, how much of a head turns, one gated layer or experts.  What differs beyond that is only what its weights
are called, which `families.py` says.

Weights that read the same input are fused (query, key and value; gate and up).  The rows of the query and key
projections are stored with the two halves of each rotary pair side by side, so that the rotation is one product of
complex numbers; attention scores do not change when both are permuted alike.

Shapes: N tokens of all sequences, D model, Q query heads, K key-value heads, H head width, V vocabulary, B sequences, P
positions, L layers, A rows of the fused projection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture
from runtime.engines.rollout.native.cache import LayerWindow, Window
from runtime.engines.rollout.native.models.families import Names, names_of
from runtime.engines.rollout.native.models.feed_forward import GatedLayer, RoutedLayers, add_product
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.rotary import rotations
from runtime.engines.rollout.native.models.weight import Weight, paired, plain, repeated

# Up to so many positions, the whole matrix of scores is quicker than torch's flash attention on CPU.
_FEW_POSITIONS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """One block; what its family does not have is None."""

    input_norm: Norm
    qkv_AD: Tensor
    bias_A: Tensor | None
    qk_norm: Norm | None
    out_DA: Tensor
    attention_norm: Norm | None
    feed_norm: Norm
    feed_forward: GatedLayer | RoutedLayers
    output_norm: Norm | None


class Decoder:
    """Weights and forward pass.

    Args:
        num_positions: longest sequence, for the table of rotations.
    """

    def __init__(self, model: Model[Never], facts: Architecture, *, num_positions: int) -> None:
        self._model = model
        self._facts = facts
        queries, keys = model.num_heads, model.num_kv_heads
        self._num_rotated = queries + keys
        self._head_counts = (queries, keys, keys)
        self._scale = model.head_dim**-0.5
        self._names = names_of(model.family)
        width = model.hidden_size
        self._embed_VD = torch.zeros(model.vocab_size, width)
        self._head_VD = self._embed_VD if model.tie_embeddings else torch.zeros(model.vocab_size, width)
        self._norm = Norm(width, eps=model.norm_eps)
        self._layers = [_layer(model, facts, self._names) for _ in range(model.num_layers)]
        self._turn_T1H = rotations(model, facts, num_positions=num_positions)[:, None]

    def weights(self) -> Iterator[Weight]:
        """Yield every weight once, ordered and named as Hugging Face's state dict does; a tied head is left out."""
        yield plain("model.embed_tokens.weight", self._embed_VD)
        for i, layer in enumerate(self._layers):
            yield from self._layer_weights(f"model.layers.{i}.", layer)
        yield plain("model.norm.weight", self._norm.weight)
        if not self._model.tie_embeddings:
            yield plain("lm_head.weight", self._head_VD)

    def prefill(self, token_BP: Tensor, last_B: Tensor) -> tuple[Tensor, Tensor]:
        """Run prompts that are padded on the right.

        Args:
            token_BP: [B, P] int64.
            last_B: position of each prompt's last token.

        Returns:
            keys and values [2 L, B, K, P, H] float32, a layer's keys before its values, and the logits [B, V] after
            each prompt's last token.
        """
        num_prompts, num_positions = token_BP.shape
        x_ND = self._embed_VD.index_select(0, token_BP.reshape(-1))
        turn_N1H = self._turn_T1H[:num_positions].repeat(num_prompts, 1, 1)
        kept: list[Tensor] = []
        for layer in self._layers:
            query, key, value = (
                part.unflatten(0, (num_prompts, num_positions)).transpose(1, 2)
                for part in self._project(layer, x_ND, turn_N1H)
            )
            kept += [key, value]
            mixed_BPQH = self._attend_causally(query, key, value).transpose(1, 2)
            x_ND = _finish(layer, x_ND, mixed_BPQH.reshape(x_ND.shape[0], -1))
        x_BD = x_ND.view(num_prompts, num_positions, -1)[torch.arange(num_prompts), last_B]
        return torch.stack(kept), F.linear(self._norm(x_BD), self._head_VD)

    def decode(self, token_B: Tensor, window: Window) -> Tensor:
        """Run the current token of each row, write its keys and values, and return the logits [B, V] after it."""
        x_BD = self._embed_VD.index_select(0, token_B)
        turn_B1H = self._turn_T1H.index_select(0, window.position_R)
        window.flat_bias.index_fill_(0, window.head_at, 0.0)
        for layer, part in zip(self._layers, window.layers, strict=True):
            query, key, value = self._project(layer, x_BD, turn_B1H)
            width = key.shape[-1]
            part.flat_keys.index_copy_(0, window.head_at, key.reshape(-1, width))
            part.flat_values.index_copy_(0, window.head_at, value.reshape(-1, width))
            mixed = self._attend(query, window.bias_K1W, part)
            x_BD = _finish(layer, x_BD, mixed)
        return F.linear(self._norm(x_BD), self._head_VD)

    def _attend_causally(self, query_BQPH: Tensor, key_BKPH: Tensor, value_BKPH: Tensor) -> Tensor:
        num_positions = query_BQPH.shape[2]
        if num_positions > _FEW_POSITIONS:
            return F.scaled_dot_product_attention(
                query_BQPH, key_BKPH, value_BKPH, is_causal=True, scale=self._scale, enable_gqa=True
            )
        queries, keys, _ = self._head_counts
        grouped = query_BQPH.reshape(-1, queries // keys * num_positions, query_BQPH.shape[-1])
        score = torch.bmm(grouped, key_BKPH.flatten(0, 1).transpose(1, 2)).mul_(self._scale)
        later_PP = torch.full((num_positions, num_positions), -torch.inf).triu_(1)
        weight = score.unflatten(1, (-1, num_positions)).add_(later_PP).softmax(-1).view_as(score)
        return torch.bmm(weight, value_BKPH.flatten(0, 1)).view(query_BQPH.shape)

    def _attend(self, query_BQH: Tensor, bias_K1W: Tensor, part: LayerWindow) -> Tensor:
        """Attend with each query group as the rows of one matrix, so that keys and values are not repeated."""
        queries, keys, _ = self._head_counts
        grouped = query_BQH.reshape(-1, queries // keys, query_BQH.shape[-1])
        score = torch.baddbmm(bias_K1W, grouped, part.keys_KHW, alpha=self._scale)
        return torch.bmm(score.softmax(-1), part.values_KWH).view(query_BQH.shape[0], -1)

    def _project(self, layer: _Layer, x_ND: Tensor, turn_N1H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [N, Q, H], keys and values [N, K, H], the first two normed and rotated."""
        fused_NA = F.linear(layer.input_norm(x_ND), layer.qkv_AD, layer.bias_A)
        heads_NAH = fused_NA.view(x_ND.shape[0], -1, self._model.head_dim)
        rotated = heads_NAH[:, : self._num_rotated]
        if layer.qk_norm is not None:
            rotated = layer.qk_norm(rotated)
        torch.view_as_complex(rotated.unflatten(-1, (-1, 2))).mul_(turn_N1H)
        query, key = rotated.split(self._head_counts[:2], dim=1)
        return query, key, heads_NAH[:, self._num_rotated :]

    def _layer_weights(self, prefix: str, layer: _Layer) -> Iterator[Weight]:
        yield from self._attention_weights(prefix + "self_attn.", layer)
        yield from layer.feed_forward.weights(prefix + "mlp.")
        named = (layer.input_norm, layer.feed_norm, layer.attention_norm, layer.output_norm)
        for name, norm in zip(self._names.norms, named, strict=True):
            if norm is not None:
                yield plain(f"{prefix}{name}.weight", norm.weight)

    def _attention_weights(self, prefix: str, layer: _Layer) -> Iterator[Weight]:
        head_dim, is_paired = self._model.head_dim, not self._facts.rope_interleaved
        sizes = [n * head_dim for n in self._head_counts]
        biases = [None] * 3 if layer.bias_A is None else layer.bias_A.split(sizes)
        for letter, weight, bias in zip("qkv", layer.qkv_AD.split(sizes), biases, strict=True):
            for kind, stored in (("weight", weight), ("bias", bias)):
                if stored is not None and is_paired and letter != "v":
                    yield paired(f"{prefix}{letter}_proj.{kind}", stored, head_dim=head_dim)
                elif stored is not None:
                    yield plain(f"{prefix}{letter}_proj.{kind}", stored)
        yield plain(prefix + "o_proj.weight", layer.out_DA)
        if layer.qk_norm is not None:
            for letter, norm_AH in zip("qk", layer.qk_norm.weight.split(self._head_counts[:2]), strict=True):
                yield repeated(f"{prefix}{letter}_norm.weight", norm_AH, is_paired=is_paired)


def _layer(model: Model[Never], facts: Architecture, names: Names) -> _Layer:
    width, num_rows = model.hidden_size, (model.num_heads + 2 * model.num_kv_heads) * model.head_dim
    num_rotated = model.num_heads + model.num_kv_heads
    eps, has_more = model.norm_eps, facts.post_norms
    if facts.experts is not None:
        feed_forward = RoutedLayers(model, facts.experts)
    else:
        feed_forward = GatedLayer(model, is_fused=names.fuses_gate_and_up)
    return _Layer(
        input_norm=Norm(width, eps=eps),
        qkv_AD=torch.zeros(num_rows, width),
        bias_A=torch.zeros(num_rows) if facts.qkv_bias else None,
        qk_norm=Norm(num_rotated, model.head_dim, eps=eps) if facts.qk_norm else None,
        out_DA=torch.zeros(width, model.num_heads * model.head_dim),
        attention_norm=Norm(width, eps=eps) if has_more else None,
        feed_norm=Norm(width, eps=eps),
        feed_forward=feed_forward,
        output_norm=Norm(width, eps=eps) if has_more else None,
    )


def _finish(layer: _Layer, x_ND: Tensor, mixed_NA: Tensor) -> Tensor:
    """Add the attention's output and the feed-forward's to the residual stream, in place."""
    x_ND = add_product(x_ND, mixed_NA, layer.out_DA, layer.attention_norm)
    return layer.feed_forward.add_to(x_ND, layer.feed_norm(x_ND), layer.output_norm)
