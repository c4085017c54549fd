"""What ends the responses of a batch, and what is noted beside their tokens.

Condensed once from the requests of the rows, whenever these change, so that rows that ask for nothing cost nothing.

Shapes: R rows (sequences), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from torch import Tensor

from runtime.engines.rollout.native.sampling import StopTable
from runtime.engines.rollout.native.sequences import Sequence as UnderWay
from runtime.protocols import GenerationRequest

# A character of a stop string takes four tokens at most, one for each byte; before it may be half of another one.
_TOKENS_PER_CHARACTER: Final = 4
_MORE_TOKENS: Final = 8
# In the place of a token of a row that has none; the table of stop tokens is filled up with -1.
ABSENT: Final = -2


class Endings:
    """How the rows of one batch end.

    Args:
        requests: one entry a row.
        sequences: the same; None where a row holds none.
    """

    def __init__(self, requests: Sequence[GenerationRequest], sequences: Sequence[UnderWay | None]) -> None:
        self._stops = StopTable([r.stop_token_ids for r in requests])
        rows = [(row, s) for row, s in enumerate(sequences) if s is not None]
        self._sequences = list(sequences)
        self._with_minimum = [(row, s) for row, s in rows if s.group.request.min_new_tokens]
        self._with_strings = [(row, s) for row, s in rows if s.group.request.stop_strings]
        asking = ((row, s, s.group.request) for row, s in rows)
        self._asking = [(row, s) for row, s, r in asking if r.logprob_token_ids or r.top_logprobs]

    def forget(self, left: Collection[UnderWay]) -> None:
        """Take no more notice of sequences that have left their rows."""
        watched = (self._with_minimum, self._with_strings, self._asking)
        if self._stops.is_empty and not any(watched):
            return
        self._sequences = [None if s in left else s for s in self._sequences]
        for rows in watched:
            rows[:] = [(row, s) for row, s in rows if s not in left]

    def forbid(self, logits_RV: Tensor, *, step: int) -> Tensor:
        """Return logits without the stop tokens of rows that are too short to end; `step` is of the token to come."""
        short = [(row, s) for row, s in self._with_minimum if _is_short(s, s.num_drawn(step))]
        if not short:
            return logits_RV
        logits_RV = logits_RV.clone()
        for row, sequence in short:
            logits_RV[row, sorted(sequence.group.request.stop_token_ids)] = float("-inf")
        return logits_RV

    def note(self, logits_RV: Tensor, has_token: Sequence[bool] | None = None) -> None:
        """Keep the log-probs that are wanted beside the token to come, of rows that have one; None: of all."""
        for row, sequence in self._asking:
            if has_token is not None and not has_token[row]:
                continue
            request = sequence.group.request
            logits_1V = logits_RV[row : row + 1] / (request.sampling.temperature or 1.0)
            named, top = named_and_likeliest(request, logits_1V.log_softmax(-1))
            sequence.named += named
            sequence.top += top

    def found(self, token_R: Tensor, *, step: int) -> dict[UnderWay, int | str]:
        """Return the sequences that these tokens end, each with the token or the string that does; ABSENT is none."""
        ended: dict[UnderWay, int | str] = {}
        for row, sequence in self._with_strings:
            if token_R[row] == ABSENT:
                continue
            sequence.text_tokens.append(int(token_R[row]))
            text = _completed(sequence)
            if text is not None and not _is_short(sequence, sequence.num_drawn(step)):
                ended[sequence] = text
        if not self._stops.is_empty:
            hit_R = self._stops.hits(token_R)
            if hit_R.any():
                for row in hit_R.nonzero()[:, 0].tolist():
                    sequence = self._sequences[row]
                    if sequence is not None:
                        ended[sequence] = int(token_R[row])
        return ended


def named_and_likeliest(
    request: GenerationRequest, logprob_NV: Tensor
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[tuple[int, float], ...], ...]]:
    """Return the log-probs that a request wants beside those of N tokens: of the tokens it names, of the likeliest."""
    named: tuple[tuple[float, ...], ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()
    if request.logprob_token_ids:
        named = tuple(tuple(row) for row in logprob_NV[:, list(request.logprob_token_ids)].tolist())
    if request.top_logprobs:
        value_NK, token_NK = logprob_NV.topk(request.top_logprobs)
        rows = zip(token_NK.tolist(), value_NK.tolist(), strict=True)
        top = tuple(tuple(zip(tokens, values, strict=True)) for tokens, values in rows)
    return named, top


def _is_short(sequence: UnderWay, num_drawn: int) -> bool:
    request = sequence.group.request
    return request.first_draw + num_drawn < request.min_new_tokens


def _completed(sequence: UnderWay) -> str | None:
    """Return the stop string that the last token completed, the first of several in the text."""
    request = sequence.group.request
    assert request.decode is not None
    longest = max(len(s) for s in request.stop_strings)
    tail = sequence.text_tokens[-(_TOKENS_PER_CHARACTER * longest + _MORE_TOKENS) :]
    before, text = request.decode(tail[:-1]), request.decode(tail)
    num_same = next(
        (i for i, (a, b) in enumerate(zip(before, text, strict=False)) if a != b), min(len(before), len(text))
    )
    places = [(at, s) for s in request.stop_strings if (at := text.find(s, max(0, num_same - len(s) + 1))) >= 0]
    return min(places)[1] if places else None
