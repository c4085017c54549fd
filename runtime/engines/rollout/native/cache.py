"""The memory of sequences of up to one length: keys and values, tokens, log-probs and draws.

A sequence occupies one row; rows in use are always the first ones.  Everything about the token at position t of row b
lies at column t of row b, so that a step addresses all of it by a few flat indices, which advance by one in place.

Shapes: L layers, B rows, K key-value heads, T positions, H head width, R the rows in use, P positions of a prompt,
G prompts, M rows that enter, S tokens that are run at once, D drafted tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

# The softmax of torch falls back to scalar code on fewer columns than a vector register holds.
_WINDOW_MIN: Final = 16
_WINDOW_STEP: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWindow:
    """One layer's part of a window: where to write, and what to attend to.

    flat_keys, flat_values: [B * K * T, H].  keys_KHW: [R * K, H, W], values_KWH: [R * K, W, H].  Where the values are
    the first channels of the keys, flat_values is None, and values_KWH views these.
    """

    flat_keys: Tensor
    flat_values: Tensor | None
    keys_KHW: Tensor
    values_KWH: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Views of the rows in use, no wider than their longest sequence needs.

    head_at: [R * K] flat index of the current token in a layer's keys.  position_R: [R].
    bias_K1W: [R * K, 1, W], 0 where a token may attend and -inf elsewhere.
    """

    layers: tuple[LayerWindow, ...]
    head_at: Tensor
    position_R: Tensor
    bias_K1W: Tensor
    flat_bias: Tensor


def columns_for(num_positions: int) -> int:
    """Return how many columns a row has that holds so many positions."""
    return max(_WINDOW_MIN, -(-num_positions // _WINDOW_STEP) * _WINDOW_STEP)


class SequenceCache:
    """Rows of sequences under way.

    Args:
        num_rows: sequences at once, to begin with.
        num_positions: longest prompt and response together; rows are a few columns wider where that is quicker.
        value_dim: where the values are the first channels of the keys and are not held apart, how many.
    """

    def __init__(
        self,
        *,
        num_rows: int,
        num_positions: int,
        num_layers: int,
        num_kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
    ) -> None:
        self.width = columns_for(num_positions)
        self._num_drafts = 0
        self.num_positions = num_positions
        self._value_dim = value_dim
        self._num_tables = 2 * num_layers if value_dim is None else num_layers
        self._heads = (num_kv_heads, head_dim)
        self._make(num_rows)

    @property
    def num_rows(self) -> int:
        """Sequences that have room."""
        return self._shape[0]

    def reserve(self, num_drafts: int) -> None:
        """Have columns for so many drafted tokens behind the current one, before there is any row."""
        # The draws of drafted tokens and of the one behind them lie beyond the last position, too.
        self.width = columns_for(self.num_positions + num_drafts + 1)
        self._num_drafts = num_drafts
        self._make(0)

    def resize(self, num_rows: int, *, num_kept: int, num_positions: int) -> None:
        """Make room for another number of rows, and keep the first `num_kept` with so many positions of each."""
        tables = self._tables()
        kv_LBKTH, position_R = self._kv_LBKTH, self._position_B[:num_kept]
        self._make(num_rows)
        if not num_kept:
            return
        self._kv_LBKTH[:, :num_kept, :, :num_positions] = kv_LBKTH[:, :num_kept, :, :num_positions]
        for table, before in zip(self._tables(), tables, strict=True):
            table[:num_kept] = before[:num_kept]
        self._seek(torch.arange(num_kept), position_R)

    def _tables(self) -> tuple[Tensor, ...]:
        """Return what is held of each row beside its keys and values and its position."""
        tables = (self._bias_BKT, self._token_BT, self._logprob_BT, self._draw_BT, self._is_live_B)
        return (*tables, self._draft_BD) if self._num_drafts else tables

    def _make(self, num_rows: int) -> None:
        (num_kv_heads, head_dim), width = self._heads, self.width
        self._shape = (num_rows, num_kv_heads, width)
        self._kv_LBKTH = torch.zeros(self._num_tables, num_rows, num_kv_heads, width, head_dim)
        self._bias_BKT = torch.full(self._shape, -torch.inf)
        self._token_BT = torch.zeros(num_rows, width, dtype=torch.int64)
        self._logprob_BT = torch.zeros(num_rows, width)
        self._draw_BT = torch.zeros(num_rows, width, dtype=torch.float64)
        self._draft_BD = torch.zeros(num_rows, self._num_drafts, dtype=torch.int64)
        self._position_B = torch.zeros(num_rows, dtype=torch.int64)
        self._is_live_B = torch.zeros(num_rows, dtype=torch.int64)
        self._row_at_B = torch.arange(num_rows) * width
        self._head_at_BK = torch.arange(num_rows * num_kv_heads).view(num_rows, num_kv_heads) * width
        self._at_B = self._row_at_B.clone()
        self._at_BK = self._head_at_BK.clone()

    def enter(self, rows: Sequence[int], *, prompt_lengths: Sequence[int], draws_MN: Tensor) -> None:
        """Begin sequences in rows, each at the position of its first response token.

        Args:
            draws_MN: [M, N] the draws of a row's response tokens, in order; more than a row can hold are dropped.
        """
        row_M = torch.tensor(rows)
        length_M1 = torch.tensor(prompt_lengths)[:, None]
        column_T = torch.arange(self._shape[2])
        bias_MT = torch.zeros(len(rows), self._shape[2]).masked_fill_(column_T >= length_M1, -torch.inf)
        self._bias_BKT.index_copy_(0, row_M, bias_MT[:, None].expand(-1, self._shape[1], -1))
        draw_of_MT = (column_T - length_M1).clamp_(0, draws_MN.shape[1] - 1)
        self._draw_BT.index_copy_(0, row_M, draws_MN.gather(1, draw_of_MT))
        self._is_live_B.index_fill_(0, row_M, 1)
        self._seek(row_M, length_M1[:, 0])

    def fill_prompts(self, rows: Sequence[int], kv_LGKPH: Tensor, *, prompt_of_row: Sequence[int]) -> None:
        """Copy prompts' keys and values into rows, each from the prompt that it continues.

        Args:
            kv_LGKPH: [2 L, G, K, P, H], or [L, G, K, P, H] where the values are channels of the keys.
        """
        target = self._kv_LBKTH[:, :, :, : kv_LGKPH.shape[3]]
        source = kv_LGKPH.index_select(1, torch.tensor(prompt_of_row))
        if rows[-1] - rows[0] + 1 == len(rows) and sorted(rows) == list(rows):
            target[:, rows[0] : rows[-1] + 1].copy_(source)
        else:
            target.index_copy_(1, torch.tensor(rows), source)

    def park(self, rows: Sequence[int]) -> None:
        """Stop rows from advancing; until they are entered anew they are computed along and not read."""
        self._is_live_B.index_fill_(0, torch.tensor(rows), 0)

    def move(self, sources: Sequence[int], targets: Sequence[int], *, num_positions: int) -> None:
        """Move sequences of at most `num_positions` tokens to other rows."""
        for source, target in zip(sources, targets, strict=True):
            self._kv_LBKTH[:, target, :, :num_positions].copy_(self._kv_LBKTH[:, source, :, :num_positions])
        source_M, target_M = torch.tensor(sources), torch.tensor(targets)
        for table in self._tables():
            table.index_copy_(0, target_M, table.index_select(0, source_M))
        self._seek(target_M, self._position_B.index_select(0, source_M))

    def window(self, num_rows: int, *, num_positions: int) -> Window:
        """Return views of the first rows that cover `num_positions` positions; they stay valid while rows advance."""
        kv_LBKTH, heads = self._kv_LBKTH, self._shape[1]
        head_dim = kv_LBKTH.shape[-1]
        columns = columns_for(num_positions)
        layers = []
        is_apart = self._value_dim is None
        tables = zip(kv_LBKTH[0::2], kv_LBKTH[1::2], strict=True) if is_apart else zip(kv_LBKTH, kv_LBKTH, strict=True)
        for keys_BKTH, values_BKTH in tables:
            keys_KTH = keys_BKTH.flatten(0, 1)[: num_rows * heads, :columns]
            layer = LayerWindow(
                flat_keys=keys_BKTH.view(-1, head_dim),
                flat_values=values_BKTH.view(-1, head_dim) if is_apart else None,
                keys_KHW=keys_KTH.transpose(1, 2),
                values_KWH=values_BKTH.flatten(0, 1)[: num_rows * heads, :columns, : self._value_dim],
            )
            layers.append(layer)
        return Window(
            layers=tuple(layers),
            head_at=self._at_BK.view(-1)[: num_rows * heads],
            position_R=self._position_B[:num_rows],
            bias_K1W=self._bias_BKT.flatten(0, 1)[: num_rows * heads, None, :columns],
            flat_bias=self._bias_BKT.view(-1),
        )

    def advance(self, num_rows: int) -> None:
        """Make the next position the current one, in those of the first rows that are live."""
        step_R = self._is_live_B[:num_rows]
        self._position_B[:num_rows].add_(step_R)
        self._at_B[:num_rows].add_(step_R)
        self._at_BK[:num_rows].add_(step_R[:, None])

    def tokens(self, num_rows: int) -> Tensor:
        """Return [R] int64 tokens at the current positions."""
        return self._token_BT.view(-1).index_select(0, self._at_B[:num_rows])

    def draws(self, num_rows: int) -> Tensor:
        """Return [R] float64 draws of the tokens at the current positions."""
        return self._draw_BT.view(-1).index_select(0, self._at_B[:num_rows])

    def put(self, token_R: Tensor, logprob_R: Tensor) -> None:
        """Write tokens and log-probs at the current positions of the first rows."""
        self._put_at(self._at_B[: token_R.shape[0]], token_R, logprob_R)

    def put_in(self, rows: Sequence[int], token_M: Tensor, logprob_M: Tensor) -> None:
        """Write tokens and log-probs at the current positions of some rows."""
        self._put_at(self._at_B.index_select(0, torch.tensor(rows)), token_M, logprob_M)

    def held(self, num_rows: int, *, num_positions: int) -> Tensor:
        """Return a view [2 L, R, K, T, H], or [L, R, K, T, H], of the first rows' keys and values, so many or all."""
        return self._kv_LBKTH[:, :num_rows, :, :num_positions]

    def positions(self, num_rows: int) -> Tensor:
        """Return [R] int64 the current positions."""
        return self._position_B[:num_rows].clone()

    def drafts(self, num_rows: int) -> Tensor:
        """Return [R, D] int64 the tokens that are drafted behind the current ones."""
        return self._draft_BD[:num_rows]

    def draft(self, rows: Sequence[int], draft_MD: Tensor) -> None:
        """Write what is drafted behind the current tokens of some rows."""
        self._draft_BD[torch.tensor(rows)] = draft_MD

    def draws_at(self, rows: Sequence[int], position_MN: Tensor) -> Tensor:
        """Return [M, N] float64 draws of the tokens at positions of some rows."""
        return self._draw_BT[torch.tensor(rows)[:, None], position_MN]

    def put_run(self, token_RS: Tensor, logprob_RS: Tensor, num_R: Tensor) -> None:
        """Write tokens and log-probs behind the current positions of the first rows, and advance each by so many.

        What is written behind those is overwritten before it is read.
        """
        num_rows, num_new = token_RS.shape
        row_R1 = torch.arange(num_rows)[:, None]
        position_RS = self._position_B[:num_rows, None] + torch.arange(1, num_new + 1)
        self._token_BT[row_R1, position_RS] = token_RS
        self._logprob_BT[row_R1, position_RS] = logprob_RS
        self._seek(row_R1[:, 0], self._position_B[:num_rows] + num_R)

    def live(self, num_rows: int) -> Tensor:
        """Return [R] int64: 1 where a row advances, 0 where it is parked."""
        return self._is_live_B[:num_rows]

    def response(self, row: int, *, start: int, stop: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return a row's tokens and log-probs at positions start to stop - 1."""
        return tuple(self._token_BT[row, start:stop].tolist()), tuple(self._logprob_BT[row, start:stop].tolist())

    def take(self, row: int, *, num_positions: int) -> Tensor:
        """Return a copy of a row's keys and values at its first positions, [2 L, 1, K, P, H] or [L, 1, K, P, H]."""
        return self._kv_LBKTH[:, row : row + 1, :, :num_positions].clone()

    def go_on(self, row: int, tokens: Tensor, logprobs: Tensor, *, start: int) -> None:
        """Put back what a sequence drew that was under way in another row; its last token becomes the current one.

        Args:
            tokens: [N] int64, at positions start to start + N - 1.
            logprobs: [N].
        """
        stop = start + tokens.shape[0]
        self._token_BT[row, start:stop] = tokens
        self._logprob_BT[row, start:stop] = logprobs
        self._bias_BKT[row, :, : stop - 1] = 0.0
        self._seek(torch.tensor([row]), torch.tensor([stop - 1]))

    def drawn(self, row: int, *, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return copies of a row's tokens and log-probs at positions start to stop - 1."""
        return self._token_BT[row, start:stop].clone(), self._logprob_BT[row, start:stop].clone()

    def clear(self) -> None:
        """Forget all keys and values: what is not a number would spread to whoever uses the row next."""
        self._kv_LBKTH.zero_()

    def _seek(self, row_M: Tensor, position_M: Tensor) -> None:
        self._position_B.index_copy_(0, row_M, position_M)
        self._at_B.index_copy_(0, row_M, self._row_at_B.index_select(0, row_M) + position_M)
        at_MK = self._head_at_BK.index_select(0, row_M) + position_M[:, None]
        self._at_BK.index_copy_(0, row_M, at_MK)

    def _put_at(self, at_M: Tensor, token_M: Tensor, logprob_M: Tensor) -> None:
        self._token_BT.view(-1).index_copy_(0, at_M, token_M)
        self._logprob_BT.view(-1).index_copy_(0, at_M, logprob_M)
