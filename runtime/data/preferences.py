"""Preferences: prompts with a better and a worse answer.

Shape letters: N sequences, T tokens of all sequences end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compiler.ir.data import DataSource, PreferenceSource, RankedSource
from compiler.ir.openness import Off
from runtime.data.context_limit import Limit
from runtime.data.demonstrations import Demonstration, demonstration, supervised_batch
from runtime.data.jsonl import Dropped, Row, RowFaults, number_at, read_rows, wrong_type
from runtime.data.prompts import LengthLimit, MalformedPolicy
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """Two answers to one prompt; `margin` is by how much the better one has to score more, 0 where nobody says."""

    chosen: Demonstration
    rejected: Demonstration
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceSet:
    """The pairs of a data set, in the order of its files; answers that were too long, and left out or cut."""

    rows: tuple[Preference, ...]
    num_overlong: int
    dropped: Dropped


def load_preferences(
    sources: Sequence[PreferenceSource],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    malformed: MalformedPolicy = "error",
) -> PreferenceSet:
    """Return the pairs of all files; paths are relative to `root`.

    Both answers of a row are read as demonstrations are, and have to differ.  A pair with an answer that is left out is
    left out.
    Raises: SpecError with every fault of the files (RLC0601 to RLC0609), at most 20 of them in full.
    """
    faults = RowFaults(drops=malformed == "drop")
    lengths = LengthLimit(limit.tokens, limit.policy, path=limit.field)
    found: list[Preference] = []
    num_rows = 0
    for source in sources:
        sides = [_side(source, key) for key in (source.chosen_key, source.rejected_key)]
        for row in read_rows(root / source.path, name=source.path, faults=faults):
            num_rows += 2
            read = [demonstration(row, side, tokenizer, faults) for side in sides]
            margin = _margin(row, source, faults)
            chosen, rejected = (_fitted(one, lengths.fitted(row.place, one.tokens)) if one else None for one in read)
            if chosen is not None and rejected is not None and chosen.tokens == rejected.tokens:
                wrong_type(row, _same(source), faults)
            elif chosen is not None and rejected is not None:
                found.append(Preference(chosen=chosen, rejected=rejected, margin=margin))
    lengths.report(faults, num_rows=num_rows)
    dropped = faults.raise_if_any(num_kept=len(found))
    return PreferenceSet(rows=tuple(found), num_overlong=lengths.num_over, dropped=dropped)


def preference_batch(rows: Sequence[Preference]) -> TrainBatch:
    """Return pairs as one batch: better and worse answers in turn, two sequences a row."""
    answers = [answer for row in rows for answer in (row.chosen, row.rejected)]
    return replace(supervised_batch(answers), row_size=2)


def _margin(row: Row, source: PreferenceSource, faults: RowFaults) -> float:
    """The margin of a pair, 0 where its source has none; a fault is added for what is no number of at least 0."""
    if not isinstance(source, RankedSource) or isinstance(source.margin_key, Off):
        return 0.0
    number = number_at(row, source.margin_key, faults)
    if number is not None and number < 0.0:
        wrong_type(row, f'"{source.margin_key}" is {number:g}, and the better answer does not score less', faults)
    return number or 0.0


def _same(source: PreferenceSource) -> str:
    return (
        f'"{source.chosen_key}" and "{source.rejected_key}" come to the same tokens: nothing is better than itself; '
        "a conversation ends with the user's message, not with an answer"
    )


def _side(source: PreferenceSource, key: str) -> DataSource:
    return DataSource(
        path=source.path,
        input_key=source.input_key,
        label_key=key,
        apply_chat_template=source.apply_chat_template,
    )


def _fitted(read: Demonstration, tokens: tuple[int, ...] | None) -> Demonstration | None:
    if tokens is None:
        return None
    num_prompt = max(0, read.num_prompt_tokens - (len(read.tokens) - len(tokens)))
    return replace(read, tokens=tokens, num_prompt_tokens=num_prompt)
