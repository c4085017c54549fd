"""Feeds: what comes follows from the position alone, whoever reads ahead; what cannot be used is counted or told."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import Data, TrainSource
from compiler.ir.rollout import CustomCode
from runtime.data import feed as feeds
from runtime.data.feed import Feed
from runtime.data.lengths import Limit, OverlongPolicy
from runtime.data.open_feed import Needs, Opened, open_feed
from runtime.data.order import DataOrder, permutation
from runtime.data.prompts import PromptReading
from runtime.data.tokenizers import CharacterTokenizer
from stdlib.samples import Prompt

pytestmark = pytest.mark.torch

DIGITS = CharacterTokenizer("0123456789+=")
FORMS = ("jsonl", "parquet", "streamed_jsonl", "streamed_parquet", "function")
LATER = {"check": "as_read"}


def write(root: Path, form: str, first: int, count: int, **settings: Any) -> TrainSource[Never]:
    """Rows whose input is their number, in a form."""
    rows = [{"input": str(number), "label": "1"} for number in range(first, first + count)]
    name = f"{form}{first}"
    kind = form.removeprefix("streamed_")
    if kind == "jsonl":
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), root / f"{name}.parquet", row_group_size=3)
    else:
        numbered = f"for i in range({first}, {first + count}):\n        yield {{'input': str(i), 'label': '1'}}\n"
        text = f"def rows():\n    {numbered}"
        (root / f"{name}.py").write_text(text)
        code = CustomCode(path=f"{name}.py", function="rows", sha256=hashlib.sha256(text.encode()).hexdigest())
        return TrainSource(function=f"{name}.py:rows", format="function", code=code, **settings)
    streaming = form != kind
    return TrainSource(path=f"{name}.{kind}", format=kind, streaming=streaming, **settings)


def opened(
    root: Path, *sources: TrainSource[Never], most: int = 10, overlong: OverlongPolicy = "error", **settings: Any
) -> Opened[Prompt]:
    data = Data(train=sources, **settings)
    needs = Needs(Limit(most, overlong, "rollout.max_prompt_tokens"), 4, 5)
    return open_feed(data, sources, PromptReading(DIGITS), needs, root=root)


def numbers(feed: Feed[Prompt], *counts: int, position: int = 0) -> list[int]:
    found: list[int] = []
    for count in counts:
        taken = feed.take(position, count)
        position = taken.position
        found += [int(prompt.text) for prompt in taken.rows]
    feed.close()
    return found


def test_rows_that_are_ready_come_in_the_order_of_the_seed(tmp_path: Path) -> None:
    found = opened(tmp_path, write(tmp_path, "jsonl", 0, 7), write(tmp_path, "jsonl", 7, 3))
    assert numbers(found.feed, 4, 4, 4) == list(DataOrder(10, seed=5, shuffle=True).take(0, 12))
    assert found.num_rows == 10


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_rows_that_are_read_when_drawn_come_in_the_same_order(form: str, tmp_path: Path) -> None:
    sources = write(tmp_path, form, 0, 7), write(tmp_path, form, 7, 3)
    ready, later = opened(tmp_path, *sources), opened(tmp_path, *sources, **LATER)
    assert numbers(later.feed, 3, 9, 13) == numbers(ready.feed, 25)
    assert (ready.num_rows, later.num_rows, later.rows) == (10, 10, [])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("window", [4, 100])
@given(position=st.integers(0, 60))
def test_what_comes_follows_from_the_position_alone(
    form: str, shuffle: bool, window: int, position: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("rows")
    source = write(root, form, 0, 10)
    settings = {"shuffle": shuffle, "shuffle_window": window, "prefetch": 0, **LATER}
    whole = numbers(opened(root, source, **settings).feed, position + 15)
    assert numbers(opened(root, source, **settings).feed, 5, 10, position=position) == whole[position:]
    epochs = [sorted(whole[at : at + 10]) for at in range(0, position + 15 - 9, 10)]
    assert epochs == [list(range(10))] * len(epochs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (3, 2), (2, 50)])
def test_reading_ahead_changes_nothing(form: str, workers: int, prefetch: int, tmp_path: Path) -> None:
    sources = write(tmp_path, form, 0, 11, weight=2.0), write(tmp_path, form, 100, 5, weight=1.0)
    plain = numbers(opened(tmp_path, *sources, prefetch=0, **LATER).feed, *[4] * 15)
    ahead = opened(tmp_path, *sources, workers=workers, prefetch=prefetch, **LATER).feed
    ahead.start(0)
    assert numbers(ahead, *[4] * 15) == plain
    assert numbers(ahead, *[4] * 5, position=40) == plain[40:]


def test_a_stream_is_shuffled_within_its_windows_and_each_epoch_otherwise(tmp_path: Path) -> None:
    source = write(tmp_path, "streamed_jsonl", 0, 10)
    found = numbers(opened(tmp_path, source, shuffle_window=4).feed, 20)
    for epoch in (found[:10], found[10:]):
        assert [sorted(epoch[at : at + 4]) for at in (0, 4, 8)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert found[:10] != found[10:]
    assert found[:10] != list(range(10))


def test_each_source_of_a_mixture_has_its_share_and_its_own_epochs(tmp_path: Path) -> None:
    few, many = write(tmp_path, "jsonl", 0, 3, weight=3.0), write(tmp_path, "streamed_jsonl", 100, 50, weight=1.0)
    feed = opened(tmp_path, few, many).feed
    found = numbers(feed, 40)
    of_few = [number for number in found if number < 100]
    assert len(of_few) == 30
    assert [sorted(of_few[at : at + 3]) for at in range(0, 30, 3)] == [[0, 1, 2]] * 10
    metrics = feed.take_metrics()
    assert {name: metrics[name] for name in metrics if name.startswith("data/rows/")} == {
        "data/rows/jsonl0.jsonl": 30.0,
        "data/rows/streamed_jsonl100.jsonl": 10.0,
    }
    assert feed.take_metrics()["data/rows/jsonl0.jsonl"] == 0.0


def spoilt(root: Path, lines: Sequence[int]) -> TrainSource[Never]:
    source = write(root, "jsonl", 0, 10)
    path = root / source.called
    text = path.read_text().splitlines()
    for line in lines:
        text[line] = '{"input": "no digit", "label": "1"}' if line % 2 else "{"
    path.write_text("\n".join(text) + "\n")
    return source


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_bad_row_that_is_drawn_ends_the_run_with_its_line(prefetch: int, tmp_path: Path) -> None:
    feed = opened(tmp_path, spoilt(tmp_path, [2]), shuffle=False, prefetch=prefetch, **LATER).feed
    assert [prompt.text for prompt in feed.take(0, 2).rows] == ["0", "1"]
    with pytest.raises(SpecError, match=r"RLC0603: jsonl0\.jsonl:3 is not JSON"):
        feed.take(2, 2)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_bad_row_that_is_skipped_is_counted_in_the_step_that_met_it(prefetch: int, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"shuffle": False, "prefetch": prefetch, "malformed_rows": "drop", **LATER}
    feed = opened(tmp_path, spoilt(tmp_path, [2, 3]), **settings).feed
    found: list[tuple[list[str], int, float]] = []
    position = 0
    for _ in range(3):
        taken = feed.take(position, 3)
        position = taken.position
        found.append(
            ([prompt.text for prompt in taken.rows], position, feed.take_metrics()["data/drawn_malformed_rows"])
        )
    feed.close()
    assert found == [(["0", "1", "4"], 5, 2.0), (["5", "6", "7"], 8, 0.0), (["8", "9", "0"], 11, 0.0)]


def test_bad_rows_may_be_skipped_at_the_start_as_well(tmp_path: Path) -> None:
    found = opened(tmp_path, spoilt(tmp_path, [2, 3]), malformed_rows="drop")
    assert (found.num_rows, found.dropped.count) == (8, 2)
    with pytest.raises(SpecError) as caught:
        opened(tmp_path, spoilt(tmp_path, [2, 3]))
    assert [fault.code for fault in caught.value.diagnostics] == ["RLC0603", "RLC0606"]


def test_rows_that_are_all_bad_are_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_UNUSABLE", 20)
    source = spoilt(tmp_path, range(10))
    with pytest.raises(SpecError, match=r"RLC0626: of .* rows of jsonl0\.jsonl none could be used"):
        opened(tmp_path, source, malformed_rows="drop", **LATER).feed.take(0, 1)


def test_a_source_of_a_mixture_of_which_nothing_is_left_is_named(tmp_path: Path) -> None:
    good, bad = write(tmp_path, "jsonl", 20, 3, weight=1.0), spoilt(tmp_path, range(10))
    sources = good, bad.replacing(weight=1.0)
    with pytest.raises(SpecError, match=r"RLC0626: of .* rows of jsonl0\.jsonl none could be used"):
        opened(tmp_path, *sources, malformed_rows="drop")


@pytest.mark.parametrize(
    ("overlong", "kept", "count"), [("drop", ["9", "9", "9"], 2.0), ("truncate", ["9", "0", "9"], 1.0)]
)
def test_rows_that_are_too_long_are_dropped_or_cut_when_drawn(
    overlong: OverlongPolicy, kept: list[str], count: float, tmp_path: Path
) -> None:
    source = write(tmp_path, "streamed_jsonl", 9, 2)
    feed = opened(tmp_path, source, most=1, overlong=overlong, shuffle=False).feed
    taken = feed.take(0, 3)
    feed.close()
    assert [prompt.text for prompt in taken.rows] == kept
    assert feed.take_metrics()["data/drawn_overlong_rows"] == count


def test_a_row_that_is_too_long_ends_the_run_even_where_bad_rows_are_skipped(tmp_path: Path) -> None:
    source = write(tmp_path, "streamed_jsonl", 9, 2)
    with pytest.raises(SpecError, match=r"RLC0605: streamed_jsonl9\.jsonl:2 has 2 tokens, but max_prompt_tokens = 1"):
        opened(tmp_path, source, most=1, shuffle=False, malformed_rows="drop").feed.take(0, 3)


def test_a_function_that_fails_in_the_middle_ends_the_run_at_its_row(tmp_path: Path) -> None:
    text = "def rows():\n    yield {'input': '1', 'label': '1'}\n    raise OSError('gone')\n"
    (tmp_path / "r.py").write_text(text)
    code = CustomCode(path="r.py", function="rows", sha256=hashlib.sha256(text.encode()).hexdigest())
    source: TrainSource[Never] = TrainSource(function="r.py:rows", format="function", code=code)
    feed = opened(tmp_path, source, shuffle=False).feed
    assert len(feed.take(0, 1).rows) == 1
    with pytest.raises(SpecError, match=r"RLC0627: r\.py:rows failed: OSError: gone"):
        feed.take(1, 1)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_function_that_hangs_ends_the_run(kind: str, tmp_path: Path) -> None:
    body = "yield {'input': '1', 'label': '1'}\n    while True:\n        time.sleep(0.01)\n"
    text = f"import time\n{kind} rows():\n    {body}"
    (tmp_path / "r.py").write_text(text)
    code = CustomCode(path="r.py", function="rows", sha256=hashlib.sha256(text.encode()).hexdigest())
    source: TrainSource[Never] = TrainSource(function="r.py:rows", format="function", code=code, timeout_s=0.5)
    feed = opened(tmp_path, source, shuffle=False).feed
    assert len(feed.take(0, 1).rows) == 1
    with pytest.raises(SpecError, match=r"RLC0649: r\.py:rows gave no row for timeout_s = 0\.5 s"):
        feed.take(1, 1)


def test_what_is_read_ahead_is_bounded(tmp_path: Path) -> None:
    text = (
        "drawn = []\n"
        "def rows():\n    for i in range(10**9):\n        drawn.append(i)\n        yield {'input': '1', 'label': '1'}\n"
    )
    (tmp_path / "r.py").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    code = CustomCode(path="r.py", function="rows", sha256=digest)
    source: TrainSource[Never] = TrainSource(function="r.py:rows", format="function", code=code)
    feed = opened(tmp_path, source, shuffle=False, prefetch=3).feed
    feed.take(0, 8)
    feed.close()
    drawn: list[int] = sys.modules[f"rlc_custom_{digest[:16]}"].drawn
    # 8 were taken, 3 steps of 4 are ready, one waits for room, one is being drawn.
    assert 8 <= len(drawn) <= 8 + 12 + 2


def test_a_position_in_the_middle_of_an_epoch_permutes_as_the_epoch_does() -> None:
    order = DataOrder(7, seed=3, shuffle=True)
    come = order.from_position(10)
    assert [next(come) for _ in range(11)] == list(order.take(10, 11))
    assert sorted(permutation(7, seed=3, epoch=1).tolist()) == list(range(7))
