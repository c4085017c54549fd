"""The forward pass of decoder-only transformers, without Hugging Face's code, in fp32.

What a family is stands in its facts: biases, norms of queries and keys, norms after attention and
feed-forward, how much of a head turns, one gated layer or experts.  What differs beyond that is only what its weights
are called, which `families.py` says.

Shapes: N tokens of all sequences, D model, Q query heads, K key-value heads, H head width, V vocabulary, B sequences, P
positions, L layers, A channels of all heads, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prediction:
    """A layer that predicts a further token.

    joint_DI: [D, 2 D] joins an embedding and a hidden state, each behind a norm of its own.
    """

    embed_norm: Norm
    hidden_norm: Norm
    joint_DI: Tensor
    block: _Layer
    norm: Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Rows of one width, and where each of them goes on.

    kv_LBKTH: [2 L, B, K, T, H], or [L, B, K, T, H] where the values are channels of the keys.  position_B: [B].
    """

    kv_LBKTH: Tensor
    position_B: Tensor


class Decoder:
    """Weights and forward pass.

    `shape` is what the cache has to hold of a token.

    Args:
        num_positions: longest sequence, for the table of rotations.
        num_rows_of_products: rows to which the tokens of an expert are filled up; None for as many as there are.
        drafts: whether the first layer that predicts a further token has keys and values beside those of the model.
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
        drafts: bool = False,
    ) -> None:
        self._model = model
        self._drafts = drafts
        self._hidden_ND: Tensor | None = None
        self._names = names_of(model.family)
        width = model.hidden_size
        self._embed_VD = torch.zeros(model.vocab_size, width)
        self._head_VD = self._embed_VD if model.tie_embeddings else torch.zeros(model.vocab_size, width)
        self._norm = Norm(width, eps=model.norm_eps)
        self._layers = [_layer(model, facts, self._names, at, num_rows_of_products) for at in range(model.num_layers)]
        self._predictions = [
            _Prediction(
                embed_norm=Norm(width, eps=model.norm_eps),
                hidden_norm=Norm(width, eps=model.norm_eps),
                joint_DI=torch.zeros(width, 2 * width),
                block=_layer(model, facts, self._names, model.num_layers + at, num_rows_of_products),
                norm=Norm(width, eps=model.norm_eps),
            )
            for at in range(model.num_mtp_layers)
        ]
        self.shape = self._layers[0].attention.shape
        self._turn_T1H = rotations(model, facts, num_positions=num_positions)[:, None]

    def weights(self) -> Iterator[Weight]:
        """Yield every weight once, ordered and named as Hugging Face's state dict does; a tied head is left out."""
        yield plain("model.embed_tokens.weight", self._embed_VD)
        for i, layer in enumerate(self._layers):
            yield from self._layer_weights(f"model.layers.{i}.", layer)
        for i, prediction in enumerate(self._predictions, len(self._layers)):
            prefix = f"model.layers.{i}."
            yield from self._layer_weights(prefix, prediction.block)
            yield plain(prefix + "enorm.weight", prediction.embed_norm.weight)
            yield plain(prefix + "hnorm.weight", prediction.hidden_norm.weight)
            yield plain(prefix + "eh_proj.weight", prediction.joint_DI)
            yield plain(prefix + "shared_head.norm.weight", prediction.norm.weight)
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
        if self._drafts:
            self._hidden_ND = self._norm(x_ND)
            kept += [torch.zeros_like(table) for table in kept[: self.tables_per_layer]]
        x_BD = x_ND.view(num_prompts, num_positions, -1)[torch.arange(num_prompts), last_B]
        return torch.stack(kept), F.linear(self._norm(x_BD), self._head_VD)

    def empty_prompts(self, num_prompts: int, *, num_positions: int) -> Tensor:
        """Return zeros in the place of the keys and values of so many prompts, [2 L, B, K, P, H] or [L, B, K, P, H]."""
        shape = self.shape
        num_tables = (len(self._layers) + self._drafts) * self.tables_per_layer
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
        for layer, held in zip(self._layers, self._by_layer(kv_LBKPH), strict=True):
            query, *made = layer.attention.project(layer.input_norm(x_ND), turn_N1H)
            x_ND = self._finish(layer, x_ND, self._attend_run(query, made, held, position_BN, may_see_B1NP))
        if self._drafts:
            self._hidden_ND = self._norm(x_ND)
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

    def verify(self, token_BS: Tensor, spans: Sequence[Span]) -> tuple[Tensor, Tensor]:
        """Run the current token of each row and drafts behind it, and write their keys and values.

        Args:
            token_BS: [B, S] int64.
            spans: whose rows follow one another, with room for S positions from those of the rows on.

        Returns: logits [B, S, V] after each token, and hidden states [B, S, D], behind the model's norm.
        """
        num_rows, num_new = token_BS.shape
        positions = [span.position_B[:, None] + torch.arange(num_new) for span in spans]
        turn_N1H = self._turn_T1H.index_select(0, torch.cat(positions).flatten())
        may_see = [
            (torch.arange(span.kv_LBKTH.shape[3]) <= position_BS[..., None])[:, None]
            for span, position_BS in zip(spans, positions, strict=True)
        ]
        tables = [self._by_layer(span.kv_LBKTH) for span in spans]
        sizes = [position_BS.numel() for position_BS in positions]
        x_ND = self._embed_VD.index_select(0, token_BS.flatten())
        for at, layer in enumerate(self._layers):
            query, key, value = layer.attention.project(layer.input_norm(x_ND), turn_N1H)
            values = [None] * len(spans) if value is None else value.split(sizes)
            parts = zip(query.split(sizes), key.split(sizes), values, tables, positions, may_see, strict=True)
            mixed = [self._attend_run(q, (k, v), held[at], where, mask) for q, k, v, held, where, mask in parts]
            x_ND = self._finish(layer, x_ND, torch.cat(mixed))
        hidden_ND = self._norm(x_ND)
        logits_NV = F.linear(hidden_ND, self._head_VD)
        return logits_NV.unflatten(0, (num_rows, num_new)), hidden_ND.unflatten(0, (num_rows, num_new))

    def predict(
        self, layer: int, token_BN: Tensor, hidden_BND: Tensor, held_UBKTH: Tensor, start_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run a layer that predicts a further token over positions that follow those which it has seen.

        Args:
            layer: which one, from 0 on.
            token_BN: [B, N] int64 the token that the layer before (of the first one: the model) predicts.
            hidden_BND: [B, N, D] its hidden states, behind its norm.
            held_UBKTH: keys and values of the positions before, [2, B, K, T, H], or [1, B, K, T, H] where the values
                are channels of the keys, with room for start + N; those of these positions are written into it.
            start_B: how many positions of each row the layer has seen.

        Returns: logits [B, N, V] of the token behind, and hidden states [B, N, D], behind the layer's norm.
        """
        x_ND = self._predicted(layer, token_BN, hidden_BND, held_UBKTH, start_B)
        return F.linear(x_ND, self._head_VD).unflatten(0, token_BN.shape), x_ND.unflatten(0, token_BN.shape)

    def predict_last(
        self, token_BN: Tensor, hidden_BND: Tensor, held_UBKTH: Tensor, start_B: Tensor, *, last_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the first layer as `predict` does; return logits [B, V] and hidden states [B, D] of one position a row.

        Args:
            last_B: which of the N positions; what is behind it is padding.
        """
        x_BND = self._predicted(0, token_BN, hidden_BND, held_UBKTH, start_B).unflatten(0, token_BN.shape)
        x_BD = x_BND[torch.arange(token_BN.shape[0]), last_B]
        return F.linear(x_BD, self._head_VD), x_BD

    def follow(self, token_BN: Tensor, hidden_BND: Tensor, held_UBKTH: Tensor, start_B: Tensor) -> None:
        """Write the keys and values that the first layer has at positions of which it is not to predict anything."""
        position_BN = start_B[:, None] + torch.arange(token_BN.shape[1])
        _, *made = self._projected(self._predictions[0], token_BN, hidden_BND, position_BN)[1]
        self._write_run(made, held_UBKTH, position_BN)

    def _predicted(
        self, layer: int, token_BN: Tensor, hidden_BND: Tensor, held_UBKTH: Tensor, start_B: Tensor
    ) -> Tensor:
        """Return [B * N, D] the hidden states of a layer that predicts, behind its norm."""
        prediction = self._predictions[layer]
        position_BN = start_B[:, None] + torch.arange(token_BN.shape[1])
        x_ND, (query, *made) = self._projected(prediction, token_BN, hidden_BND, position_BN)
        may_see_B1NT = (torch.arange(held_UBKTH.shape[3]) <= position_BN[..., None])[:, None]
        mixed_NA = self._attend_run(query, made, held_UBKTH, position_BN, may_see_B1NT)
        return prediction.norm(self._finish(prediction.block, x_ND, mixed_NA))

    def _projected(
        self, prediction: _Prediction, token_BN: Tensor, hidden_BND: Tensor, position_BN: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor | None]]:
        """Return [B * N, D] what a layer that predicts reads, and its queries, keys and values."""
        embedded_ND = prediction.embed_norm(self._embed_VD.index_select(0, token_BN.flatten()))
        joined_NI = torch.cat([embedded_ND, prediction.hidden_norm(hidden_BND.flatten(0, 1))], dim=-1)
        x_ND = F.linear(joined_NI, prediction.joint_DI)
        turn_N1H = self._turn_T1H.index_select(0, position_BN.flatten().clamp(max=self._turn_T1H.shape[0] - 1))
        return x_ND, prediction.block.attention.project(prediction.block.input_norm(x_ND), turn_N1H)

    @property
    def tables_per_layer(self) -> int:
        """Two where keys and values are held apart, else one."""
        return 2 if self.shape.value_dim is None else 1

    def prompt_states(self) -> Tensor:
        """Return [N, D] the hidden states of the last pass over prompts, behind the model's norm."""
        assert self._hidden_ND is not None
        return self._hidden_ND

    def chosen_experts(self) -> Tensor:
        """Return [N, L, C] int16 the experts that the tokens of the last pass visited, in each layer that has any."""
        feeds = (layer.feed_forward for layer in self._layers)
        chosen = [feed.chosen_NC for feed in feeds if isinstance(feed, RoutedLayers)]
        return torch.stack(chosen, dim=1).to(torch.int16)

    def _by_layer(self, kv_LBKPH: Tensor) -> Tensor:
        """Return [L, U, B, K, P, H] the tables of the model's own layers."""
        own = kv_LBKPH[: len(self._layers) * self.tables_per_layer] if self._drafts else kv_LBKPH
        return own.unflatten(0, (len(self._layers), -1))

    @staticmethod
    def _write_run(made: Iterable[Tensor | None], held_UBKTH: Tensor, position_BN: Tensor) -> None:
        at_B1 = torch.arange(position_BN.shape[0])[:, None]
        for table_BKTH, new_NKH in zip(held_UBKTH, (part for part in made if part is not None), strict=True):
            table_BKTH.transpose(1, 2)[at_B1, position_BN] = new_NKH.unflatten(0, position_BN.shape)

    def _attend_run(
        self,
        query_NQH: Tensor,
        made: Iterable[Tensor | None],
        held_UBKTH: Tensor,
        position_BN: Tensor,
        may_see_B1NT: Tensor,
    ) -> Tensor:
        """Write keys and values of a run of positions of each row, and return what its queries mix, [B * N, Q * H]."""
        self._write_run(made, held_UBKTH, position_BN)
        query_BQNH = query_NQH.unflatten(0, position_BN.shape).transpose(1, 2)
        mixed_BQNH = F.scaled_dot_product_attention(
            query_BQNH, held_UBKTH[0], held_UBKTH[-1], may_see_B1NT, scale=self.shape.scale, enable_gqa=True
        )
        return mixed_BQNH[..., : self.shape.value_dim].transpose(1, 2).reshape(query_NQH.shape[0], -1)

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
