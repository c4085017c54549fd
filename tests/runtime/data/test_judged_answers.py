"""Pairs with margins, answers with scores, and prompts without labels, from any form of source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import Data, RankedData, RankedSource, ScoredData, ScoredSource, TrainSource
from runtime.data.feed import Feed
from runtime.data.lengths import Limit, OverlongPolicy
from runtime.data.open_feed import Needs, open_feed
from runtime.data.preferences import Preference, PreferenceReading
from runtime.data.prompts import PromptReading
from runtime.data.scores import ScoredAnswer, ScoreReading, ranked_batch, scored_batch
from runtime.data.tokenizers import CharacterTokenizer
from stdlib.samples import Prompt

pytestmark = pytest.mark.torch

DIGITS = CharacterTokenizer("0123456789+=")
NUM_ROWS = 9
PAIRS = [{"input": f"{i}+", "chosen": "1", "rejected": "22", "margin": i / 4} for i in range(NUM_ROWS)]
SCORES = [{"input": f"{i}+", "response": "1", "score": i / 2} for i in range(NUM_ROWS)]
FORMS = ("jsonl", "parquet", "streamed_jsonl", "streamed_parquet")


def write(root: Path, form: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write rows in a form, and return what a source says of them."""
    kind = form.removeprefix("streamed_")
    if kind == "jsonl":
        (root / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), root / "d.parquet", row_group_size=2)
    return {"path": f"d.{kind}", "format": kind, "streaming": form != kind}


def needs(most: int = 10, overlong: OverlongPolicy = "error") -> Needs:
    return Needs(Limit(most, overlong, "model.max_position_tokens"), 3, 5)


def pairs(root: Path, source: RankedSource[Never], at: Needs | None = None, **settings: Any) -> Feed[Preference]:
    data = RankedData(train=(source,), **settings)
    return open_feed(data, data.train, PreferenceReading(DIGITS), at or needs(), root=root).feed


def scores(root: Path, source: ScoredSource[Never], at: Needs | None = None, **settings: Any) -> Feed[ScoredAnswer]:
    data = ScoredData(train=(source,), **settings)
    return open_feed(data, data.train, ScoreReading(DIGITS), at or needs(), root=root).feed


def prompts(root: Path, source: TrainSource[Never], *, needs_label: bool, **settings: Any) -> Feed[Prompt]:
    data = Data(train=(source,), **settings)
    reading = PromptReading(DIGITS, needs_label=needs_label)
    return open_feed(data, data.train, reading, needs(), root=root).feed


def message(read: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        read()
    diagnostic = caught.value.diagnostics[0]
    return f"{diagnostic.code}: {diagnostic.message}"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("check", ["at_start", "as_read"])
def test_a_pair_keeps_its_margin(form: str, check: str, tmp_path: Path) -> None:
    source = RankedSource[Never](**write(tmp_path, form, PAIRS), margin_key="margin")
    feed = pairs(tmp_path, source, shuffle=False, check=check)
    rows = feed.take(2, NUM_ROWS).rows
    feed.close()
    assert [row.margin for row in rows] == [(2 + i) % NUM_ROWS / 4 for i in range(NUM_ROWS)]
    assert [DIGITS.decode(row.chosen.tokens) for row in rows] == [f"{(2 + i) % NUM_ROWS}+1" for i in range(NUM_ROWS)]
    targets = ranked_batch(rows, pad_token_id=DIGITS.pad_token_id).targets_N
    assert targets is not None
    assert targets.tolist() == [target for row in rows for target in (row.margin, 0.0)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("check", ["at_start", "as_read"])
def test_an_answer_keeps_its_score(form: str, check: str, tmp_path: Path) -> None:
    feed = scores(tmp_path, ScoredSource[Never](**write(tmp_path, form, SCORES)), shuffle=False, check=check)
    rows = feed.take(2, NUM_ROWS).rows
    feed.close()
    assert [DIGITS.decode(row.answer.tokens) for row in rows] == [f"{(2 + i) % NUM_ROWS}+1" for i in range(NUM_ROWS)]
    targets = scored_batch(rows, pad_token_id=DIGITS.pad_token_id).targets_N
    assert targets is not None
    assert targets.tolist() == [(2 + i) % NUM_ROWS / 2 for i in range(NUM_ROWS)]


def test_a_pair_that_is_cut_keeps_its_margin(tmp_path: Path) -> None:
    source = RankedSource[Never](**write(tmp_path, "parquet", PAIRS), margin_key="margin")
    (row,) = pairs(tmp_path, source, needs(4, "truncate"), shuffle=False).take(3, 1).rows
    assert (len(row.rejected.tokens), row.margin) == (4, 0.75)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("margin", "said"), [(-1.0, '"margin" is -1, and the better answer does not score less'), ("1", "is a text")]
)
def test_a_pair_whose_margin_is_none_is_told_or_left_out(form: str, margin: object, said: str, tmp_path: Path) -> None:
    rows = [{"input": "1+", "chosen": "1", "rejected": "2", "margin": margin}]
    told = RankedSource[Never](**write(tmp_path, form, rows), margin_key="margin")
    assert said in message(lambda: pairs(tmp_path, told).take(0, 1))
    if isinstance(margin, float):
        mixed = RankedSource[Never](**write(tmp_path, form, [*rows, PAIRS[4]]), margin_key="margin")
        feed = pairs(tmp_path, mixed, malformed_rows="drop")
        assert [row.margin for row in feed.take(0, 2).rows] == [1.0, 1.0]
        feed.close()


def test_columns_that_reward_models_need_are_asked_of_the_table(tmp_path: Path) -> None:
    def without(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
        return write(tmp_path, "parquet", [{k: v for k, v in row.items() if k != key} for row in rows])

    margin = RankedSource[Never](**without(PAIRS, "margin"), margin_key="margin")
    assert message(lambda: pairs(tmp_path, margin)) == 'RLC0602: d.parquet has no column "margin"'
    score = ScoredSource[Never](**without(SCORES, "score"))
    assert message(lambda: scores(tmp_path, score)) == 'RLC0602: d.parquet has no column "score"'
    # Where a conversation holds its answer, there need be no other.
    chats = [
        {"input": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}], "score": 0.5},
    ]
    said = ScoredSource[Never](**write(tmp_path, "parquet", chats))
    assert message(lambda: scores(tmp_path, said)).startswith("RLC0604")  # read, and its tokenizer has no template


@pytest.mark.parametrize("form", FORMS)
def test_prompts_need_a_label_only_where_they_are_judged(form: str, tmp_path: Path) -> None:
    source = TrainSource[Never](**write(tmp_path, form, [{"input": str(i)} for i in range(NUM_ROWS)]))
    feed = prompts(tmp_path, source, needs_label=False, shuffle=False)
    assert [(p.text, p.label) for p in feed.take(0, 3).rows] == [("0", None), ("1", None), ("2", None)]
    feed.close()
    told = message(lambda: prompts(tmp_path, source, needs_label=True).take(0, 1))
    assert told.startswith("RLC0602: d.")


def test_scores_are_mixed_by_weight(tmp_path: Path) -> None:
    train: list[ScoredSource[Never]] = []
    for name, score, weight in (("a", 1.0, 3.0), ("b", 0.0, 1.0)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({**row, "score": score}) + "\n" for row in SCORES))
        train.append(ScoredSource(path=f"{name}.jsonl", format="jsonl", weight=weight))
    data = ScoredData(train=tuple(train))
    feed = open_feed(data, train, ScoreReading(DIGITS), needs(), root=tmp_path).feed
    assert sum(row.score for row in feed.take(0, 400).rows) == pytest.approx(300, abs=2)
