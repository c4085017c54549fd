"""Preferences: prompts with a better and a worse answer.

Shape letters: N sequences, T tokens of all sequences end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

from compiler.ir.data import PairSource, RankedSource
from compiler.ir.openness import Off
from runtime.data.demonstrations import (
    Demonstration,
    as_demonstration,
    demonstration,
    fitted_demonstration,
    supervised_batch,
)
from runtime.data.jsonl import Dropped, Row, RowFaults, number_at, wrong_type
from runtime.data.lengths import LengthLimit, Limit
from runtime.data.prompts import read_columns
from runtime.data.reading import Effort, load_all
from runtime.data.tables import Columns
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import TrainBatch

_CUT_ALIKE = "its answers differ only where they were cut: what is left of them is the same"


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
    sources: Sequence[PairSource[Never]],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    effort: Effort | None = None,
) -> PreferenceSet:
    """Return the pairs of all sources; paths are relative to `root`.

    Raises: SpecError with every fault of the sources, as `load_all`.
    """
    found = load_all(sources, PreferenceReading(tokenizer), limit, root=root, effort=effort or Effort())
    return PreferenceSet(rows=tuple(found.rows), num_overlong=found.num_overlong, dropped=found.dropped)


class PreferenceReading:
    """Turns rows into pairs.

    Both answers of a row are read as demonstrations are, and have to differ.  A pair with an answer that is left out is
    left out.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def columns(self, source: PairSource[Never]) -> Columns:
        """Return the keys of rows that are read."""
        margin = (source.margin_key,) if isinstance(source, RankedSource) else ()
        return read_columns(source, (source.chosen_key, source.rejected_key, *margin))

    def parsed(self, row: Row, source: PairSource[Never], index: int, faults: RowFaults) -> Preference | None:
        """Return a row as a pair, or None after adding what is wrong with it."""
        keys = source.chosen_key, source.rejected_key
        chosen, rejected = (demonstration(row, as_demonstration(source, key), self._tokenizer, faults) for key in keys)
        if chosen is not None and rejected is not None and chosen.tokens == rejected.tokens:
            wrong_type(row, _same(source), faults)
            return None
        margin = _margin(row, source, faults)
        if chosen is None or rejected is None or margin is None:
            return None
        return Preference(chosen=chosen, rejected=rejected, margin=margin)

    def fitted(self, found: Preference, row: Row, lengths: LengthLimit, faults: RowFaults) -> Preference | None:
        """Return a pair within a length, or None where one of its answers is left out, or cut to the other."""
        whole = (found.chosen, found.rejected)
        chosen, rejected = (fitted_demonstration(one, lengths.fitted(row.place, one.tokens)) for one in whole)
        if chosen is None or rejected is None:
            return None
        if chosen.tokens == rejected.tokens:
            wrong_type(row, _CUT_ALIKE, faults)
            return None
        return replace(found, chosen=chosen, rejected=rejected)


def preference_batch(rows: Sequence[Preference]) -> TrainBatch:
    """Return pairs as one batch: better and worse answers in turn, two sequences a row."""
    answers = [answer for row in rows for answer in (row.chosen, row.rejected)]
    return replace(supervised_batch(answers), row_size=2)


def _margin(row: Row, source: PairSource[Never], faults: RowFaults) -> float | None:
    """The margin of a pair, 0 where its source has none, or None after adding that it is no number of at least 0."""
    if not isinstance(source, RankedSource) or isinstance(source.margin_key, Off):
        return 0.0
    number = number_at(row, source.margin_key, faults)
    if number is not None and number < 0.0:
        wrong_type(row, f'"{source.margin_key}" is {number:g}, and the better answer does not score less', faults)
        return None
    return number


def _same(source: PairSource[Never]) -> str:
    return (
        f'"{source.chosen_key}" and "{source.rejected_key}" come to the same tokens: nothing is better than itself; '
        "a conversation ends with the user's message, not with an answer"
    )
