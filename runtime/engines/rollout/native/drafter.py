"""The drafting of tokens by the layer that predicts a further one, and their verification, several tokens a pass.

The layer's keys and values lie behind those of the model's own layers in the same tables, so that whatever becomes of a
row or of a prefix becomes of them, too.  Behind each pass it sees the hidden states of the tokens that were kept and
drafts the next one; further ones it drafts from its own hidden states, as SGLang and vLLM let a single layer do.  A
draft is drawn as the token in its place will be, with the same uniform number, which makes it likely to be that token.

At the end of a prefix that several sequences go on from, the layer may have seen another next token than theirs.  That
can cost a draft and changes no token: what is kept is what the model itself draws (`speculation.coupled`).

Shapes: G prompts, N their tokens, R rows, K drafted tokens, S = K + 1 positions, B rows of one lane, D model, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.endings import ABSENT, Endings
from runtime.engines.rollout.native.lanes import Lane
from runtime.engines.rollout.native.models.decoder import Decoder, Span
from runtime.engines.rollout.native.sampling import Sampler
from runtime.engines.rollout.native.sequences import Sequence as UnderWay
from runtime.engines.rollout.native.speculation import coupled


class Pass(NamedTuple):
    """What a pass brought: the sequences that it ended, each with the token or the string that did, and the sum of the
    log-probs of its tokens.
    """

    stopped: dict[UnderWay, int | str]
    logprob_sum: Tensor


class _Kept(NamedTuple):
    """What a pass made of rows: tokens, log-probs and hidden states at S positions, of which so many are kept."""

    tokens_RS: Tensor
    logprobs_RS: Tensor
    hidden_RSD: Tensor
    num_R: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """What the layer sees of the rows of one lane: its own keys and values, and tokens with the states before them."""

    held_UBKTH: Tensor
    token_BN: Tensor
    hidden_BND: Tensor
    start_B: Tensor
    last_B: Tensor


class Drafter:
    """Drafts and verifies for the rows of one engine.

    `num_drafted` counts the drafts that had a place in a response, `num_accepted` those that became part of one.
    """

    def __init__(self, network: Decoder, *, num_drafts: int) -> None:
        self.num_drafted = 0
        self.num_accepted = 0
        self._network = network
        self._num_drafts = num_drafts
        self._wide: tuple[Sampler, Sampler] | None = None

    def follow(
        self, kv_LGKPH: Tensor, hidden_GND: Tensor, prompts: Sequence[tuple[int, ...]], starts: Sequence[int]
    ) -> Tensor:
        """Let the layer see tokens of prompts that the model has run; return [G, D] the states after their last ones.

        What it sees after the last token of a prompt is overwritten once there is a next one.
        """
        num_tokens = hidden_GND.shape[1]
        parts = [p[start + 1 : start + 1 + num_tokens] for p, start in zip(prompts, starts, strict=True)]
        token_GN = torch.tensor([[*part, *[0] * (num_tokens - len(part))] for part in parts], dtype=torch.int64)
        self._network.follow(token_GN, hidden_GND, kv_LGKPH[-self._network.tables_per_layer :], torch.tensor(starts))
        last = [min(len(p) - start, num_tokens) - 1 for p, start in zip(prompts, starts, strict=True)]
        return hidden_GND[torch.arange(len(prompts)), torch.tensor(last)]

    def enter(self, lane: Lane, rows: Sequence[int], hidden_MD: Tensor, token_M: Tensor, sampler: Sampler) -> None:
        """Draft behind the first tokens of rows.

        Args:
            hidden_MD: after their prompts.
            sampler: of these rows.
        """
        row_M = torch.tensor(rows)
        position_M = lane.cache.positions(len(lane.rows))[row_M]
        num_positions = int(position_M.max()) + self._num_drafts
        tables = lane.cache.held(len(lane.rows), num_positions=num_positions)[-self._network.tables_per_layer :]
        part = _Part(
            held_UBKTH=tables[:, row_M],
            token_BN=token_M[:, None],
            hidden_BND=hidden_MD[:, None],
            start_B=position_M - 1,
            last_B=torch.zeros_like(position_M),
        )
        uniform_MK = lane.cache.draws_at(rows, position_M[:, None] + torch.arange(1, self._num_drafts + 1))
        lane.cache.draft(rows, self._drafted([part], uniform_MK, sampler))
        tables[:, row_M] = part.held_UBKTH

    def run(self, lanes: Sequence[Lane], sampler: Sampler, endings: Endings, *, step: int) -> Pass:
        """Run the current tokens and the drafts behind them, keep what the model draws itself, and draft anew.

        Args:
            sampler, endings: of the rows of these lanes.
        """
        rows = [sequence for lane in lanes for sequence in lane.rows]
        spans = [self._span(lane, step) for lane in lanes]
        token_R = torch.cat([lane.cache.tokens(len(lane.rows)) for lane in lanes])
        draft_RK = torch.cat([lane.cache.drafts(len(lane.rows)) for lane in lanes])
        logits_RSV, hidden_RSD = self._network.verify(torch.cat([token_R[:, None], draft_RK], dim=1), spans)
        self._log_experts(lanes, spans)
        uniform_RS = self._draws(lanes, [span.position_B for span in spans], num_draws=self._num_drafts + 1)
        allowed_RSV = _allowed(logits_RSV, endings, step=step)
        tokens_RS, logprobs_RS, accepted_R = coupled(self._for_runs(rows, sampler), allowed_RSV, draft_RK, uniform_RS)
        most = [self._most(s, lane, step) for lane in lanes for s in lane.rows]
        kept = [min(n + 1, m) for n, m in zip(accepted_R.tolist(), most, strict=True)]
        stopped = _cut_at_endings(kept, rows, tokens_RS, logits_RSV, endings, step=step)
        self.num_drafted += sum(m - 1 for m in most if m)
        self.num_accepted += sum(n - 1 for n in kept if n)
        for sequence, num in zip(rows, kept, strict=True):
            if sequence is not None:
                # It is as if it had entered earlier: what it has drawn are the steps since then.
                sequence.began_at -= num - 1
        num_R = torch.tensor(kept)
        self._put(lanes, spans, _Kept(tokens_RS.clamp(min=0), logprobs_RS, hidden_RSD, num_R), sampler)
        is_kept_RS = torch.arange(tokens_RS.shape[1]) < num_R[:, None]
        return Pass(stopped, logprobs_RS.masked_fill(~is_kept_RS, 0.0).sum())

    def _span(self, lane: Lane, step: int) -> Span:
        # Behind a run of K + 1 positions that is kept, the layer drafts K - 1 more from its own states.
        num_positions = lane.num_positions(step) + 2 * self._num_drafts
        held = lane.cache.held(len(lane.rows), num_positions=num_positions)
        # A row that holds no sequence may stand anywhere: it is computed along at its beginning.
        position_B = lane.cache.positions(len(lane.rows)) * lane.cache.live(len(lane.rows))
        return Span(kv_LBKTH=held, position_B=position_B)

    def _most(self, sequence: UnderWay | None, lane: Lane, step: int) -> int:
        """Return how many tokens a row may get: those that its response lacks, and for which it has positions."""
        if sequence is None:
            return 0
        has_room = lane.cache.num_positions - 1 - sequence.position(step)
        return min(self._num_drafts + 1, sequence.ends_at - step, has_room)

    def _put(self, lanes: Sequence[Lane], spans: Sequence[Span], kept: _Kept, sampler: Sampler) -> None:
        """Write what rows got, and draft what follows."""
        sizes = [len(lane.rows) for lane in lanes]
        parts: list[_Part] = []
        split = (part.split(sizes) for part in kept)
        for lane, span, token_BS, logprob_BS, hidden_BSD, kept_B in zip(lanes, spans, *split, strict=True):
            lane.cache.put_run(token_BS, logprob_BS, kept_B)
            parts.append(
                _Part(
                    held_UBKTH=span.kv_LBKTH[-self._network.tables_per_layer :],
                    token_BN=token_BS,
                    hidden_BND=hidden_BSD,
                    start_B=span.position_B,
                    last_B=(kept_B - 1).clamp(min=0),
                )
            )
        after = [lane.cache.positions(size) for lane, size in zip(lanes, sizes, strict=True)]
        uniform_RK = self._draws(lanes, after, num_draws=self._num_drafts)
        draft_RK = self._drafted(parts, uniform_RK, sampler)
        for lane, size, draft_BK in zip(lanes, sizes, draft_RK.split(sizes), strict=True):
            lane.cache.draft(range(size), draft_BK)

    def _drafted(self, parts: Sequence[_Part], uniform_RK: Tensor, sampler: Sampler) -> Tensor:
        """Return [R, K] the drafts behind the last token that the layer sees of each row."""
        seen = [
            self._network.predict_last(p.token_BN, p.hidden_BND, p.held_UBKTH, p.start_B, last_B=p.last_B)
            for p in parts
        ]
        sizes = [len(part.start_B) for part in parts]
        drafts: list[Tensor] = []
        for at in range(self._num_drafts):
            token_R, _ = sampler.draw(torch.cat([logits_BV for logits_BV, _ in seen]), uniform_RK[:, at])
            drafts.append(token_R)
            if at + 1 < self._num_drafts:
                tokens = token_R.split(sizes)
                seen = [
                    self._network.predict_last(
                        token_B[:, None],
                        hidden_BD[:, None],
                        p.held_UBKTH,
                        p.start_B + p.last_B + at + 1,
                        last_B=torch.zeros_like(p.last_B),
                    )
                    for p, token_B, (_, hidden_BD) in zip(parts, tokens, seen, strict=True)
                ]
        return torch.stack(drafts, dim=1)

    def _draws(self, lanes: Sequence[Lane], positions: Sequence[Tensor], *, num_draws: int) -> Tensor:
        """Return [R, N] the draws of the tokens behind positions of rows."""
        ahead_N = torch.arange(1, num_draws + 1)
        parts = zip(lanes, positions, strict=True)
        return torch.cat([lane.cache.draws_at(range(len(p)), p[:, None] + ahead_N) for lane, p in parts])

    def _for_runs(self, rows: Sequence[UnderWay | None], sampler: Sampler) -> Sampler:
        """Return the sampler of all positions of the rows, one row after another."""
        if self._wide is None or self._wide[0] is not sampler:
            any_request = next(s.group.request for s in rows if s is not None)
            settings = [(any_request if s is None else s.group.request).sampling for s in rows]
            each: list[Sampling] = [setting for setting in settings for _ in range(self._num_drafts + 1)]
            self._wide = sampler, Sampler(each)
        return self._wide[1]

    def _log_experts(self, lanes: Sequence[Lane], spans: Sequence[Span]) -> None:
        if all(lane.log is None for lane in lanes):
            return
        num_new = self._num_drafts + 1
        sizes = [len(span.position_B) * num_new for span in spans]
        for lane, span, ids_NLC in zip(lanes, spans, self._network.chosen_experts().split(sizes), strict=True):
            if lane.log is not None:
                ids_BSLC = ids_NLC.unflatten(0, (-1, num_new))
                for at in range(num_new):
                    lane.log.put(span.position_B + at, ids_BSLC[:, at])


def _allowed(logits_RSV: Tensor, endings: Endings, *, step: int) -> Tensor:
    """Return logits without the stop tokens of rows that are too short to end at a position."""
    each = [endings.forbid(logits_RSV[:, at], step=step + at) for at in range(logits_RSV.shape[1])]
    return torch.stack(each, dim=1)


def _cut_at_endings(
    kept: list[int],
    rows: Sequence[UnderWay | None],
    tokens_RS: Tensor,
    logits_RSV: Tensor,
    endings: Endings,
    *,
    step: int,
) -> dict[UnderWay, int | str]:
    """Let no row keep what is behind a token that ends its response; return the rows that end.

    Tokens are gone through in their order, so that what is noted of them and what ends them is what would be if they
    had been drawn one by one.

    Args:
        kept: of each row; changed in place.
    """
    stopped: dict[UnderWay, int | str] = {}
    for at in range(max(kept)):
        has_token = [num > at for num in kept]
        endings.note(logits_RSV[:, at], has_token)
        token_R = tokens_RS[:, at].masked_fill(~torch.tensor(has_token), ABSENT)
        found = endings.found(token_R, step=step + at + 1)
        for row, sequence in enumerate(rows) if found else ():
            if sequence is not None and sequence in found:
                kept[row] = at + 1
        stopped.update(found)
    return stopped
