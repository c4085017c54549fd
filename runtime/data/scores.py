"""What reward models read: answers with a score each, and batches of answers that are scored at their last token.

Shape letters: N answers, T tokens of all of them end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

import torch

from compiler.ir.data import JudgedSource
from runtime.data.demonstrations import (
    Demonstration,
    as_demonstration,
    demonstration,
    fitted_demonstration,
    supervised_batch,
)
from runtime.data.jsonl import Dropped, Row, RowFaults, number_at
from runtime.data.lengths import LengthLimit, Limit
from runtime.data.preferences import Preference, preference_batch
from runtime.data.prompts import read_columns
from runtime.data.reading import Effort, load_all
from runtime.data.tables import Columns
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredAnswer:
    """An answer to a prompt, and what it is worth."""

    answer: Demonstration
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredSet:
    """The answers of a data set, in the order of its sources; those that were too long, and left out."""

    rows: tuple[ScoredAnswer, ...]
    num_overlong: int
    dropped: Dropped


def load_scores(
    sources: Sequence[JudgedSource[Never]],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    effort: Effort | None = None,
) -> ScoredSet:
    """Return the answers of all sources; paths are relative to `root`.

    Raises: SpecError with every fault of the sources, as `load_all`.
    """
    found = load_all(sources, ScoreReading(tokenizer), limit, root=root, effort=effort or Effort())
    return ScoredSet(rows=tuple(found.rows), num_overlong=found.num_overlong, dropped=found.dropped)


class ScoreReading:
    """Turns rows into answers with scores: an answer as a demonstration is, a score that is a finite number."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def columns(self, source: JudgedSource[Never]) -> Columns:
        """Return the keys of rows that are read; of a conversation that holds its answer no other is."""
        return read_columns(source, (source.score_key,), (source.response_key,))

    def parsed(self, row: Row, source: JudgedSource[Never], index: int, faults: RowFaults) -> ScoredAnswer | None:
        """Return a row as an answer with its score, or None after adding what is wrong with it."""
        score = number_at(row, source.score_key, faults)
        read = demonstration(row, as_demonstration(source, source.response_key), self._tokenizer, faults)
        return None if read is None or score is None else ScoredAnswer(answer=read, score=score)

    def fitted(self, found: ScoredAnswer, row: Row, lengths: LengthLimit, faults: RowFaults) -> ScoredAnswer | None:
        """Return an answer within a length, or None where it is left out."""
        answer = fitted_demonstration(found.answer, lengths.fitted(row.place, found.answer.tokens))
        return None if answer is None else replace(found, answer=answer)


def scored_batch(rows: Sequence[ScoredAnswer], *, pad_token_id: int) -> TrainBatch:
    """Return answers as one batch with their scores as targets."""
    answers = [_read_to_its_end(row.answer, pad_token_id) for row in rows]
    return replace(supervised_batch(answers), targets_N=torch.tensor([row.score for row in rows]))


def ranked_batch(rows: Sequence[Preference], *, pad_token_id: int) -> TrainBatch:
    """Return pairs as one batch, better and worse answers in turn, with their margins at the better ones."""
    read = [
        replace(
            row,
            chosen=_read_to_its_end(row.chosen, pad_token_id),
            rejected=_read_to_its_end(row.rejected, pad_token_id),
        )
        for row in rows
    ]
    targets = [target for row in rows for target in (row.margin, 0.0)]
    return replace(preference_batch(read), targets_N=torch.tensor(targets))


def _read_to_its_end(answer: Demonstration, pad_token_id: int) -> Demonstration:
    """The answer up to its last token that is no padding, where a sequence-classification model is read.

    Where a tokenizer pads with its end of sequence, that is the token before the end of sequence.
    """
    count = len(answer.tokens)
    while count > 1 and answer.tokens[count - 1] == pad_token_id:
        count -= 1
    return replace(answer, tokens=answer.tokens[:count], mask=answer.mask[:count])
