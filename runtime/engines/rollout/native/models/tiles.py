"""The forward pass in tiles: what is computed of a token has the same bits whatever else is in the batch.

The last bits of a matrix product differ with its number of rows, and those of attention with the number of columns.
Here every product has the rows of one tile, filled up with zeros, and the columns that a token attends to follow from
its position alone.  A prompt is run as if its tokens were decoded, one row each, so that it makes no difference whether
a token was drawn here, came in a prompt, or was found held.  What is left is that a product's rows do not depend on
their place in the tile; a test holds that.

Measured on torch 2.13 with MKL, AVX-512: products of one to three rows have other bits than all others; no place in a
tile has.

Shapes: T tokens of a tile, n those of them that are not filling, W columns; the others are those of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Never

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture
from runtime.engines.rollout.native.cache import Window, columns_for
from runtime.engines.rollout.native.models.decoder import Decoder

TILE_TOKENS: Final = 16

# Writes the keys and values of a layer for the first tokens of a tile, and returns what all of its queries mix.
Attend = Callable[[int, Tensor, Tensor, Tensor | None], Tensor]


class TiledDecoder(Decoder):
    """The decoder whose results do not depend on the batch.

    Args:
        lane_positions: how many positions the lanes of the cache have, the narrowest first.
    """

    runs_prompts_alone = True

    def __init__(
        self, model: Model[Never], facts: Architecture, *, num_positions: int, lane_positions: Sequence[int]
    ) -> None:
        super().__init__(model, facts, num_positions=num_positions, num_rows_of_products=TILE_TOKENS)
        self._lane_positions = tuple(lane_positions)
        self._has_experts = facts.experts is not None
        self._chosen: list[Tensor] = []

    @override
    def empty_prompts(self, num_prompts: int, *, num_positions: int) -> Tensor:
        return super().empty_prompts(num_prompts, num_positions=columns_for(self._lane_of(num_positions - 1)))

    @override
    def extend(self, kv_LBKPH: Tensor, token_BN: Tensor, start_B: Tensor, last_B: Tensor | None) -> Tensor:
        """Run more tokens of one prompt, as the decoder does of several."""
        first, stop = int(start_B[0]), int(start_B[0]) + token_BN.shape[1]
        tables_LKPH = kv_LBKPH[:, 0].unflatten(0, (len(self._layers), -1))
        self._chosen.clear()
        logits: list[Tensor] = []
        at = first
        while at < stop:
            # The columns of a tile are those of its first token: it ends where more are needed.
            columns = self._lane_of(at)
            num_real = min(TILE_TOKENS, stop - at, max(1, columns - 1 - at))
            token_T = torch.zeros(TILE_TOKENS, dtype=torch.int64)
            token_T[:num_real] = token_BN[0, at - first : at - first + num_real]
            position_T = torch.arange(at, at + TILE_TOKENS)
            attend = self._along(tables_LKPH, at, num_real, columns_for(columns))
            logits.append(self._run_tile(token_T, position_T, attend, num_real=num_real))
            at += num_real
        return torch.cat(logits) if last_B is None else logits[-1][-1:]

    @override
    def decode(self, token_B: Tensor, windows: Sequence[Window]) -> Tensor:
        self._chosen.clear()
        logits: list[Tensor] = []
        first = 0
        for window in windows:
            num_rows = window.position_R.shape[0]
            window.flat_bias.index_fill_(0, window.head_at, 0.0)
            for start in range(0, num_rows, TILE_TOKENS):
                # Where rows are missing, the first one of the tile stands in for them, and nothing is written of it.
                num_real = min(TILE_TOKENS, num_rows - start)
                row_T = torch.full((TILE_TOKENS,), start)
                row_T[:num_real] = torch.arange(start, start + num_real)
                token_T, position_T = token_B[first + row_T], window.position_R[row_T]
                attend = self._in_rows(window, row_T, num_real)
                logits.append(self._run_tile(token_T, position_T, attend, num_real=num_real))
            first += num_rows
        return torch.cat(logits)

    @override
    def chosen_experts(self) -> Tensor:
        return torch.cat(self._chosen)

    def _run_tile(self, token_T: Tensor, position_T: Tensor, attend: Attend, *, num_real: int) -> Tensor:
        """Return the logits [n, V] after the tokens of a tile that are not filling."""
        x_TD = self._embed_VD.index_select(0, token_T)
        turn_T1H = self._turn_T1H.index_select(0, position_T.clamp(max=self._turn_T1H.shape[0] - 1))
        for at, layer in enumerate(self._layers):
            query, key, value = layer.attention.project(layer.input_norm(x_TD), turn_T1H)
            x_TD = self._finish(layer, x_TD, attend(at, query, key, value))
        if self._has_experts:
            self._chosen.append(super().chosen_experts()[:num_real])
        return F.linear(self._norm(x_TD), self._head_VD)[:num_real]

    def _along(self, tables_LKPH: Tensor, start: int, num_real: int, columns: int) -> Attend:
        """Tokens of one prompt, each attending to those before it."""
        keys = self.shape.num_keys
        column_W, position_T1 = torch.arange(columns), torch.arange(start, start + TILE_TOKENS)[:, None]
        bias_TW = torch.zeros(TILE_TOKENS, columns).masked_fill_(column_W > position_T1, -torch.inf)
        bias_K1W = bias_TW.repeat_interleave(keys, 0)[:, None]

        def attend(at: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
            held = tables_LKPH[at]
            for table_KPH, made in zip(held, (key, value), strict=False):
                if made is not None:
                    table_KPH[:, start : start + num_real] = made[:num_real].transpose(0, 1)
            each = [table_KPH[:, :columns].repeat(TILE_TOKENS, 1, 1) for table_KPH in held]
            return self._mixed(query, bias_K1W, each[0], each[-1])

        return attend

    def _in_rows(self, window: Window, row_T: Tensor, num_real: int) -> Attend:
        """Tokens of different sequences, each attending to its own row."""
        keys = self.shape.num_keys
        start = int(row_T[0])
        own = slice(start * keys, (start + num_real) * keys)
        head_K = (row_T[:, None] * keys + torch.arange(keys)).view(-1)
        head_at = window.head_at[own]
        is_whole = num_real == TILE_TOKENS

        def of_tile(table: Tensor) -> Tensor:
            return table[own] if is_whole else table.index_select(0, head_K)

        bias_K1W = of_tile(window.bias_K1W)

        def attend(at: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
            part, width = window.layers[at], key.shape[-1]
            part.flat_keys.index_copy_(0, head_at, key[:num_real].reshape(-1, width))
            if value is not None and part.flat_values is not None:
                part.flat_values.index_copy_(0, head_at, value[:num_real].reshape(-1, width))
            return self._mixed(query, bias_K1W, of_tile(part.keys_KHW.transpose(1, 2)), of_tile(part.values_KWH))

        return attend

    def _mixed(self, query_TQH: Tensor, bias_K1W: Tensor, keys_KWH: Tensor, values_KWH: Tensor) -> Tensor:
        grouped = query_TQH.reshape(-1, self.shape.num_queries // self.shape.num_keys, query_TQH.shape[-1])
        score = torch.baddbmm(bias_K1W, grouped, keys_KWH.transpose(1, 2), alpha=self.shape.scale)
        return torch.bmm(score.softmax(-1), values_KWH[..., : self.shape.value_dim]).view(query_TQH.shape[0], -1)

    def _lane_of(self, position: int) -> int:
        """Return the positions of the lane in which a token is run: it has room for the next one."""
        return next((n for n in self._lane_positions if n >= position + 2), self._lane_positions[-1])
