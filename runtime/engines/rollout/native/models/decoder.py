"""The forward pass of decoder-only transformers, without Hugging Face's code, in fp32.

What a family is stands in its facts: biases, norms of queries and keys, norms after attention and
feed-forward, how much of a head turns, one gated layer or experts.  What differs beyond that is only what its weights
are called, which `families.py` says.

Shapes: N tokens of all sequences, D model, Q query heads, K key-value heads, H head width, V vocabulary, B sequences, P
positions, L layers, A channels of all heads, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture
from runtime.engines.rollout.native.cache import Window
from runtime.engines.rollout.native.models.attention import GroupedAttention
from runtime.engines.rollout.native.models.families import Names, names_of
from runtime.engines.rollout.native.models.feed_forward import GatedLayer, RoutedLayers, add_product
from runtime.engines.rollout.native.models.latent_attention import LatentAttention
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.rotary import rotations
from runtime.engines.rollout.native.models.weight import Weight, plain

# Up to so many positions, the whole matrix of scores is quicker than torch's flash attention on CPU.
_FEW_POSITIONS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """One block; what its family does not have is None."""

    input_norm: Norm
    attention: GroupedAttention | LatentAttention
    attention_norm: Norm | None
    feed_norm: Norm
    feed_forward: GatedLayer | RoutedLayers
    output_norm: Norm | None


class Decoder:
    """Weights and forward pass.

    `shape` is what the cache has to hold of a token.

    Args:
        num_positions: longest sequence, for the table of rotations.
        num_rows_of_products: rows to which the tokens of an expert are filled up; None for as many as there are.
    """

    # Whether a prompt has to be run by itself, by extend, to be run at all.
    runs_prompts_alone = False

    def __init__(
        self,
        model: Model[Never],
        facts: Architecture,
        *,
        num_positions: int,
        num_rows_of_products: int | None = None,
    ) -> None:
        self._model = model
        self._names = names_of(model.family)
        width = model.hidden_size
        self._embed_VD = torch.zeros(model.vocab_size, width)
        self._head_VD = self._embed_VD if model.tie_embeddings else torch.zeros(model.vocab_size, width)
        self._norm = Norm(width, eps=model.norm_eps)
        self._layers = [_layer(model, facts, self._names, at, num_rows_of_products) for at in range(model.num_layers)]
        self.shape = self._layers[0].attention.shape
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
            keys and values [2 L, B, K, P, H] float32, a layer's keys before its values, or [L, B, K, P, H] where the
            values are channels of the keys; and the logits [B, V] after each prompt's last token.
        """
        num_prompts, num_positions = token_BP.shape
        x_ND = self._embed_VD.index_select(0, token_BP.reshape(-1))
        turn_N1H = self._turn_T1H[:num_positions].repeat(num_prompts, 1, 1)
        kept: list[Tensor] = []
        for layer in self._layers:
            query, *held = (
                part.unflatten(0, (num_prompts, num_positions)).transpose(1, 2)
                for part in layer.attention.project(layer.input_norm(x_ND), turn_N1H)
                if part is not None
            )
            kept += held
            # Values that are not held apart are the first channels of the keys.
            mixed_BPQH = self._attend_causally(query, held[0], held[-1]).transpose(1, 2)
            x_ND = self._finish(layer, x_ND, mixed_BPQH.reshape(x_ND.shape[0], -1))
        x_BD = x_ND.view(num_prompts, num_positions, -1)[torch.arange(num_prompts), last_B]
        return torch.stack(kept), F.linear(self._norm(x_BD), self._head_VD)

    def empty_prompts(self, num_prompts: int, *, num_positions: int) -> Tensor:
        """Return zeros in the place of the keys and values of so many prompts, [2 L, B, K, P, H] or [L, B, K, P, H]."""
        shape = self.shape
        num_tables = len(self._layers) * (2 if shape.value_dim is None else 1)
        return torch.zeros(num_tables, num_prompts, shape.num_keys, num_positions, shape.key_dim)

    def extend(self, kv_LBKPH: Tensor, token_BN: Tensor, start_B: Tensor, last_B: Tensor | None) -> Tensor:
        """Run more tokens of prompts whose keys and values so far are given, and write theirs behind them.

        Args:
            kv_LBKPH: what prefill returns, with room for start + N positions.
            token_BN: [B, N] int64, padded on the right.
            start_B: how many tokens of each prompt were run before.
            last_B: which of the N tokens is each prompt's last one; None for all tokens of one prompt.

        Returns: the logits [B, V] after each prompt's last token, or [N, V] after each token of one prompt.
        """
        num_prompts, num_new = token_BN.shape
        position_BN = start_B[:, None] + torch.arange(num_new)
        x_ND = self._embed_VD.index_select(0, token_BN.reshape(-1))
        turn_N1H = self._turn_T1H.index_select(0, position_BN.reshape(-1).clamp(max=self._turn_T1H.shape[0] - 1))
        may_see_B1NP = (torch.arange(kv_LBKPH.shape[3]) <= position_BN[..., None])[:, None]
        at_B1 = torch.arange(num_prompts)[:, None]
        tables = kv_LBKPH.unflatten(0, (len(self._layers), -1))
        for layer, held in zip(self._layers, tables, strict=True):
            query, *made = (
                part.unflatten(0, (num_prompts, num_new))
                for part in layer.attention.project(layer.input_norm(x_ND), turn_N1H)
                if part is not None
            )
            for table_BKPH, new_BNKH in zip(held, made, strict=True):
                table_BKPH.transpose(1, 2)[at_B1, position_BN] = new_BNKH
            mixed_BQNH = F.scaled_dot_product_attention(
                query.transpose(1, 2), held[0], held[-1], may_see_B1NP, scale=self.shape.scale, enable_gqa=True
            )
            mixed_BNQH = mixed_BQNH[..., : self.shape.value_dim].transpose(1, 2)
            x_ND = self._finish(layer, x_ND, mixed_BNQH.reshape(x_ND.shape[0], -1))
        if last_B is not None:
            x_ND = x_ND.view(num_prompts, num_new, -1)[torch.arange(num_prompts), last_B]
        return F.linear(self._norm(x_ND), self._head_VD)

    def decode(self, token_B: Tensor, windows: Sequence[Window]) -> Tensor:
        """Run the current token of each row, write its keys and values, and return the logits [B, V] after it.

        Args:
            windows: whose rows follow one another.
        """
        x_BD = self._embed_VD.index_select(0, token_B)
        turns = [self._turn_T1H.index_select(0, window.position_R) for window in windows]
        turn_B1H = turns[0] if len(turns) == 1 else torch.cat(turns)
        for window in windows:
            window.flat_bias.index_fill_(0, window.head_at, 0.0)
        sizes = [len(turn) for turn in turns]
        for at, layer in enumerate(self._layers):
            query, key, value = layer.attention.project(layer.input_norm(x_BD), turn_B1H)
            if len(windows) == 1:
                mixed = self._attend(query, key, value, windows[0], at)
            else:
                values = [None] * len(windows) if value is None else value.split(sizes)
                parts = zip(query.split(sizes), key.split(sizes), values, windows, strict=True)
                mixed = torch.cat([self._attend(*part, at) for part in parts])
            x_BD = self._finish(layer, x_BD, mixed)
        return F.linear(self._norm(x_BD), self._head_VD)

    def chosen_experts(self) -> Tensor:
        """Return [N, L, C] int16 the experts that the tokens of the last pass visited, in each layer that has any."""
        feeds = (layer.feed_forward for layer in self._layers)
        chosen = [feed.chosen_NC for feed in feeds if isinstance(feed, RoutedLayers)]
        return torch.stack(chosen, dim=1).to(torch.int16)

    def _attend_causally(self, query_BQPH: Tensor, key_BKPH: Tensor, value_BKPH: Tensor) -> Tensor:
        """Return [B, Q, P, H] the mixed values; of values that are channels of the keys, only these."""
        num_positions, shape = query_BQPH.shape[2], self.shape
        if num_positions > _FEW_POSITIONS:
            mixed = F.scaled_dot_product_attention(
                query_BQPH, key_BKPH, value_BKPH, is_causal=True, scale=shape.scale, enable_gqa=True
            )
            return mixed[..., : shape.value_dim]
        queries, keys = shape.num_queries, shape.num_keys
        grouped = query_BQPH.reshape(-1, queries // keys * num_positions, query_BQPH.shape[-1])
        score = torch.bmm(grouped, key_BKPH.flatten(0, 1).transpose(1, 2)).mul_(shape.scale)
        later_PP = torch.full((num_positions, num_positions), -torch.inf).triu_(1)
        weight = score.unflatten(1, (-1, num_positions)).add_(later_PP).softmax(-1).view_as(score)
        mixed = torch.bmm(weight, value_BKPH.flatten(0, 1)).view(query_BQPH.shape)
        return mixed[..., : shape.value_dim]

    def _attend(self, query_BQH: Tensor, key_BKH: Tensor, value_BKH: Tensor | None, window: Window, at: int) -> Tensor:
        """Write the keys and values of one window's rows in a layer, and return what their queries mix, [B, Q * H].

        Each query group is the rows of one matrix, so that keys and values are not repeated.
        """
        part, width = window.layers[at], key_BKH.shape[-1]
        part.flat_keys.index_copy_(0, window.head_at, key_BKH.reshape(-1, width))
        if value_BKH is not None and part.flat_values is not None:
            part.flat_values.index_copy_(0, window.head_at, value_BKH.reshape(-1, width))
        grouped = query_BQH.reshape(-1, self.shape.num_queries // self.shape.num_keys, width)
        score = torch.baddbmm(window.bias_K1W, grouped, part.keys_KHW, alpha=self.shape.scale)
        return torch.bmm(score.softmax(-1), part.values_KWH).view(query_BQH.shape[0], -1)

    @staticmethod
    def _finish(layer: _Layer, x_ND: Tensor, mixed_NA: Tensor) -> Tensor:
        """Add the attention's output and the feed-forward's to the residual stream, in place."""
        x_ND = add_product(x_ND, layer.attention.finished(mixed_NA), layer.attention.out_DA, layer.attention_norm)
        return layer.feed_forward.add_to(x_ND, layer.feed_norm(x_ND), layer.output_norm)

    def _layer_weights(self, prefix: str, layer: _Layer) -> Iterator[Weight]:
        yield from layer.attention.weights(prefix + "self_attn.")
        yield from layer.feed_forward.weights(prefix + "mlp.")
        named = (layer.input_norm, layer.feed_norm, layer.attention_norm, layer.output_norm)
        for name, norm in zip(self._names.norms, named, strict=True):
            if norm is not None:
                yield plain(f"{prefix}{name}.weight", norm.weight)


def _layer(model: Model[Never], facts: Architecture, names: Names, at: int, num_rows: int | None) -> _Layer:
    width, eps, has_more = model.hidden_size, model.norm_eps, facts.post_norms
    latent = facts.latent
    feed_forward: GatedLayer | RoutedLayers
    if facts.experts is not None and at >= facts.experts.num_dense_layers:
        feed_forward = RoutedLayers(width, facts.experts, num_rows=num_rows)
    else:
        feed_forward = GatedLayer(width, model.intermediate_size, is_fused=names.fuses_gate_and_up)
    return _Layer(
        input_norm=Norm(width, eps=eps),
        attention=GroupedAttention(model, facts) if latent is None else LatentAttention(model, facts, latent),
        attention_norm=Norm(width, eps=eps) if has_more else None,
        feed_norm=Norm(width, eps=eps),
        feed_forward=feed_forward,
        output_norm=Norm(width, eps=eps) if has_more else None,
    )
