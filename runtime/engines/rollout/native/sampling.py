"""The drawing of tokens from logits: temperature, top-k, top-p, one uniform number a token.

The settings of a batch are condensed once into `Sampler`, whenever its rows change, so that a step does only the work
which the rows need: rows that all sample alike, the usual case, pay for no row-wise settings.

Order of filters: temperature, then top-k, then top-p on what is left, renormalised.  The draw inverts the cumulative
distribution in the order of the vocabulary, summed in float64; a token of probability zero cannot be drawn.

Shapes: R rows (sequences), V vocabulary, K candidates, S stop tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from compiler.ir.openness import Off
from compiler.ir.rollout import Sampling


class Sampler:
    """How the rows of one batch are sampled.

    Args:
        settings: one entry a row.
    """

    def __init__(self, settings: Sequence[Sampling]) -> None:
        distinct = set(settings)
        greedy = {s for s in distinct if s.temperature == 0}
        self._all_greedy = greedy == distinct
        self._filters = any(_is_filtered(s) for s in distinct - greedy)
        rows = [next(iter(distinct))] if len(distinct) == 1 else settings
        self._greedy_R1: Tensor | None = None
        if greedy and not self._all_greedy:
            self._greedy_R1 = torch.tensor([[s.temperature == 0] for s in rows])
        self._temperature_R1: Tensor | None = None
        if any(s.temperature not in (0, 1) for s in distinct):
            self._temperature_R1 = torch.tensor([[s.temperature or 1.0] for s in rows])
        # A bound of 2 keeps everything, also where rounding lets the sum of the others reach 1.
        self._top_p_R1 = torch.tensor([[s.top_p if s.top_p < 1 else 2.0] for s in rows], dtype=torch.float64)
        self._has_top_p = any(s.top_p < 1 for s in distinct - greedy)
        limits = [s.top_k for s in rows if not isinstance(s.top_k, Off)]
        self._num_candidates = max(limits) if len(limits) == len(rows) else None
        self._top_k_R1 = torch.tensor([[2**62 if isinstance(s.top_k, Off) else s.top_k] for s in rows])

    def draw(self, logits_RV: Tensor, uniform_R: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens [R] int64 and their natural log-probs [R] float32 under the distribution drawn from."""
        if self._all_greedy:
            return _take(logits_RV.softmax(-1), logits_RV.argmax(-1, keepdim=True))
        prob_RV = self._sampled(logits_RV)
        token_R1 = inverted(prob_RV, uniform_R)
        if self._greedy_R1 is None:
            return _take(prob_RV, token_R1)
        token_R1 = torch.where(self._greedy_R1, logits_RV.argmax(-1, keepdim=True), token_R1)
        return _take(torch.where(self._greedy_R1, logits_RV.softmax(-1), prob_RV), token_R1)

    def distribution(self, logits_RV: Tensor) -> tuple[Tensor, Tensor]:
        """Return [R, V] the probabilities that `draw` draws from, and those whose logarithms it returns.

        They differ at temperature 0, where one token has all of the former.
        """
        plain_RV = logits_RV.softmax(-1)
        best_RV = torch.zeros_like(plain_RV).scatter_(-1, logits_RV.argmax(-1, keepdim=True), 1.0)
        if self._all_greedy:
            return best_RV, plain_RV
        prob_RV = self._sampled(logits_RV)
        if self._greedy_R1 is None:
            return prob_RV, prob_RV
        return torch.where(self._greedy_R1, best_RV, prob_RV), torch.where(self._greedy_R1, plain_RV, prob_RV)

    def _sampled(self, logits_RV: Tensor) -> Tensor:
        """Return [R, V] probabilities behind temperature and filters."""
        scaled_RV = logits_RV if self._temperature_R1 is None else logits_RV / self._temperature_R1
        return (self._filtered(scaled_RV) if self._filters else scaled_RV).softmax(-1)

    def _filtered(self, scaled_RV: Tensor) -> Tensor:
        value_RK, token_RK = self._candidates(scaled_RV)
        drop_RK = torch.arange(value_RK.shape[1]) >= self._top_k_R1
        if self._has_top_p:
            value_RK = value_RK.masked_fill(drop_RK, -torch.inf)
            prob_RK = value_RK.softmax(-1, dtype=torch.float64)
            drop_RK = drop_RK | (prob_RK.cumsum(-1) - prob_RK >= self._top_p_R1)
        value_RK = value_RK.masked_fill(drop_RK, -torch.inf)
        return torch.full_like(scaled_RV, -torch.inf).scatter_(-1, token_RK, value_RK)

    def _candidates(self, scaled_RV: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens that may be kept, the likeliest first and equals by their ids, and their logits."""
        if self._num_candidates is not None and self._num_candidates < scaled_RV.shape[1]:
            value_RK, token_RK = scaled_RV.topk(self._num_candidates + 1, -1)
            # Among equals, topk takes any; a sort is slow and seldom needed.
            if not (value_RK[:, 1:] == value_RK[:, :-1]).any():
                return value_RK, token_RK
        value_RK, token_RK = scaled_RV.sort(dim=-1, descending=True, stable=True)
        return value_RK, token_RK


class StopTable:
    """Which tokens end which rows.

    Args:
        stops: the stop tokens of each row.
    """

    def __init__(self, stops: Sequence[frozenset[int]]) -> None:
        distinct = set(stops)
        rows = [next(iter(distinct))] if len(distinct) == 1 else stops
        width = max(len(s) for s in distinct)
        padded = [[*sorted(s), *[-1] * (width - len(s))] for s in rows]
        self._stop_RS = torch.tensor(padded, dtype=torch.int64).view(len(rows), width)
        self.is_empty = width == 0

    def hits(self, token_R: Tensor) -> Tensor:
        """Return [R] bool: whether the token ends its row."""
        return (token_R[:, None] == self._stop_RS).any(-1)


def inverted(prob_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """Return [R, 1] int64 the tokens at which the cumulative sums pass a share of their whole, uniform draws."""
    sum_RV = prob_RV.cumsum(-1, dtype=torch.float64)
    token_R1 = torch.searchsorted(sum_RV, sum_RV[:, -1:] * uniform_R[:, None], right=True)
    # Only logits that are not numbers get here with an index past the end; the scheduler reports them.
    return token_R1.clamp_(max=prob_RV.shape[1] - 1)


def _is_filtered(settings: Sampling) -> bool:
    return settings.top_p < 1 or not isinstance(settings.top_k, Off)


def _take(prob_RV: Tensor, token_R1: Tensor) -> tuple[Tensor, Tensor]:
    return token_R1[:, 0], prob_RV.gather(-1, token_R1)[:, 0].log_()
