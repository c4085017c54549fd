"""What reward models read: answers with a score each, and batches of answers that are scored at their last token.

Shape letters: N answers, T tokens of all of them end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compiler.ir.data import DataSource, ScoredSource
from runtime.data.context_limit import Limit
from runtime.data.demonstrations import Demonstration, demonstration, supervised_batch
from runtime.data.jsonl import Dropped, RowFaults, number_at, read_rows
from runtime.data.preferences import Preference, preference_batch
from runtime.data.prompts import LengthLimit, MalformedPolicy
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredAnswer:
    """An answer to a prompt, and what it is worth."""

    answer: Demonstration
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredSet:
    """The answers of a data set, in the order of its files; those that were too long, and left out."""

    rows: tuple[ScoredAnswer, ...]
    num_overlong: int
    dropped: Dropped


def load_scores(
    sources: Sequence[ScoredSource],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    malformed: MalformedPolicy = "error",
) -> ScoredSet:
    """Return the answers of all files; paths are relative to `root`.

    An answer is read as a demonstration is; its score is a finite number.
    Raises: SpecError with every fault of the files (RLC0601 to RLC0609), at most 20 of them in full.
    """
    faults = RowFaults(drops=malformed == "drop")
    lengths = LengthLimit(limit.tokens, limit.policy, path=limit.field)
    found: list[ScoredAnswer] = []
    num_rows = 0
    for source in sources:
        as_shown = DataSource(
            path=source.path,
            input_key=source.input_key,
            label_key=source.response_key,
            apply_chat_template=source.apply_chat_template,
        )
        for row in read_rows(root / source.path, name=source.path, faults=faults):
            num_rows += 1
            score = number_at(row, source.score_key, faults)
            read = demonstration(row, as_shown, tokenizer, faults)
            tokens = None if read is None else lengths.fitted(row.place, read.tokens)
            if read is not None and tokens is not None and score is not None:
                found.append(ScoredAnswer(answer=replace(read, tokens=tokens), score=score))
    lengths.report(faults, num_rows=num_rows)
    dropped = faults.raise_if_any(num_kept=len(found))
    return ScoredSet(rows=tuple(found), num_overlong=lengths.num_over, dropped=dropped)


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
    return replace(answer, tokens=answer.tokens[:count])
