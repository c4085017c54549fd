"""The forward pass of dense Qwen3, without Hugging Face's code, in fp32.

Weights that read the same input are fused (query, key and value; gate and up).  The rows of the query and key
projections are stored with the two halves of each rotary pair side by side, so that the rotation is one product of
complex numbers; attention scores do not change when both are permuted alike.

Shapes: N tokens of all sequences, D model, Q query heads, K key-value heads, H head width, F feed-forward, V
vocabulary, B sequences, P positions, L layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.rollout.native.cache import LayerWindow, Window

# Up to so many positions, the whole matrix of scores is quicker than torch's flash attention on CPU.
_FEW_POSITIONS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One weight as Hugging Face knows it.

    `stored` views the fused storage; reshaped to `shape` it is the weight.  `copies` views all places where it is
    kept, with more leading dimensions if there are several.
    """

    name: str
    shape: tuple[int, ...]
    stored: Tensor
    copies: Tensor

    def load(self, tensor: Tensor) -> None:
        """Copy in a tensor of the weight's shape."""
        self.copies.copy_(tensor.reshape(self.stored.shape))

    def value(self) -> Tensor:
        """Return the weight, a view where its layout allows."""
        return self.stored.reshape(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    input_norm_D: Tensor
    qkv_AD: Tensor
    qk_norm_AH: Tensor
    out_DA: Tensor
    ff_norm_D: Tensor
    gate_up_FD: Tensor
    down_DF: Tensor


class Qwen3:
    """Weights and forward pass.

    Args:
        num_positions: longest sequence, for the table of rotations.
    """

    def __init__(self, model: Model[Never], *, num_positions: int) -> None:
        self._model = model
        queries, keys = model.num_heads, model.num_kv_heads
        self._num_rotated = queries + keys
        self._head_counts = (queries, keys, keys)
        self._eps = torch.tensor(model.norm_eps)
        self._scale = model.head_dim**-0.5
        width, inner = model.hidden_size, model.intermediate_size
        self._embed_VD = torch.zeros(model.vocab_size, width)
        self._head_VD = self._embed_VD if model.tie_embeddings else torch.zeros(model.vocab_size, width)
        self._norm_D = torch.zeros(width)
        self._layers = [
            _Layer(
                input_norm_D=torch.zeros(width),
                qkv_AD=torch.zeros((queries + 2 * keys) * model.head_dim, width),
                qk_norm_AH=torch.zeros(queries + keys, model.head_dim),
                out_DA=torch.zeros(width, queries * model.head_dim),
                ff_norm_D=torch.zeros(width),
                gate_up_FD=torch.zeros(2 * inner, width),
                down_DF=torch.zeros(width, inner),
            )
            for _ in range(model.num_layers)
        ]
        self._turn_T1H = _rotations(num_positions, head_dim=model.head_dim, base=model.rope_base)[:, None]

    def weights(self) -> Iterator[Weight]:
        """Yield every weight once, ordered and named as Hugging Face's state dict does; a tied head is left out."""
        yield _plain("model.embed_tokens.weight", self._embed_VD)
        for i, layer in enumerate(self._layers):
            yield from self._layer_weights(f"model.layers.{i}.", layer)
        yield _plain("model.norm.weight", self._norm_D)
        if not self._model.tie_embeddings:
            yield _plain("lm_head.weight", self._head_VD)

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
            x_ND = self._finish(layer, x_ND, mixed_BPQH.reshape(x_ND.shape[0], -1))
        x_BD = x_ND.view(num_prompts, num_positions, -1)[torch.arange(num_prompts), last_B]
        return torch.stack(kept), F.linear(self._normed(x_BD, self._norm_D), self._head_VD)

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
            x_BD = self._finish(layer, x_BD, mixed)
        return F.linear(self._normed(x_BD, self._norm_D), self._head_VD)

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
        fused_NA = F.linear(self._normed(x_ND, layer.input_norm_D), layer.qkv_AD)
        heads_NAH = fused_NA.view(x_ND.shape[0], -1, self._model.head_dim)
        rotated = heads_NAH[:, : self._num_rotated]
        normed = self._normed(rotated, layer.qk_norm_AH)
        torch.view_as_complex(normed.unflatten(-1, (-1, 2))).mul_(turn_N1H)
        query, key = normed.split(self._head_counts[:2], dim=1)
        return query, key, heads_NAH[:, self._num_rotated :]

    def _finish(self, layer: _Layer, x_ND: Tensor, mixed_NA: Tensor) -> Tensor:
        """Add the attention's output and the feed-forward's to the residual stream, in place."""
        x_ND.addmm_(mixed_NA, layer.out_DA.t())
        gate_NF, up_NF = F.linear(self._normed(x_ND, layer.ff_norm_D), layer.gate_up_FD).chunk(2, dim=-1)
        return x_ND.addmm_(F.silu(gate_NF).mul_(up_NF), layer.down_DF.t())

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        # A third of the time of F.rms_norm, which torch composes of more operations on CPU.
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(self._eps, length, length, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(weight)

    def _layer_weights(self, prefix: str, layer: _Layer) -> Iterator[Weight]:
        model = self._model
        query_AD, key_AD, value_AD = layer.qkv_AD.split([n * model.head_dim for n in self._head_counts])
        query_norm_AH, key_norm_AH = layer.qk_norm_AH.split(self._head_counts[:2])
        gate_FD, up_FD = layer.gate_up_FD.chunk(2)
        attention, feed_forward = prefix + "self_attn.", prefix + "mlp."
        yield _paired(attention + "q_proj.weight", query_AD, head_dim=model.head_dim)
        yield _paired(attention + "k_proj.weight", key_AD, head_dim=model.head_dim)
        yield _plain(attention + "v_proj.weight", value_AD)
        yield _plain(attention + "o_proj.weight", layer.out_DA)
        yield _repeated(attention + "q_norm.weight", query_norm_AH)
        yield _repeated(attention + "k_norm.weight", key_norm_AH)
        yield _plain(feed_forward + "gate_proj.weight", gate_FD)
        yield _plain(feed_forward + "up_proj.weight", up_FD)
        yield _plain(feed_forward + "down_proj.weight", layer.down_DF)
        yield _plain(prefix + "input_layernorm.weight", layer.input_norm_D)
        yield _plain(prefix + "post_attention_layernorm.weight", layer.ff_norm_D)


def _plain(name: str, stored: Tensor) -> Weight:
    return Weight(name=name, shape=tuple(stored.shape), stored=stored, copies=stored)


def _paired(name: str, stored: Tensor, *, head_dim: int) -> Weight:
    """View rows whose rotary pairs lie side by side in the order of Hugging Face, all first halves first."""
    halves = stored.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2)
    return Weight(name=name, shape=tuple(stored.shape), stored=halves, copies=halves)


def _repeated(name: str, norm_AH: Tensor) -> Weight:
    """View a norm that is kept once for each head, its rotary pairs side by side."""
    halves = norm_AH.unflatten(1, (-1, 2)).transpose(1, 2)
    return Weight(name=name, shape=tuple(norm_AH.shape[1:]), stored=halves[0], copies=halves)


def _rotations(num_positions: int, *, head_dim: int, base: float) -> Tensor:
    """Return [T, H / 2] complex64: the turn of each rotary pair at each position."""
    frequency_H = 1.0 / base ** (torch.arange(0, head_dim, 2) / head_dim)
    angle_TH = torch.arange(num_positions)[:, None] * frequency_H
    return torch.polar(torch.ones_like(angle_TH), angle_TH)
