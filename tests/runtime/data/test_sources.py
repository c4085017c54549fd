"""Sources: whatever form rows have, they come to the same prompts, by their order and by their numbers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Never

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.data import TrainSource
from compiler.ir.openness import OFF
from compiler.ir.rollout import CustomCode
from runtime.data.jsonl import RowFaults
from runtime.data.prompts import load_prompts
from runtime.data.reading import Effort
from runtime.data.sources import digest_of, open_indexed, open_rows
from runtime.data.tables import Columns
from runtime.data.tokenizers import CharacterTokenizer
from tests.support.fake_hub import serve

pytestmark = pytest.mark.torch

DIGITS = CharacterTokenizer("0123456789+=")
ROWS = [{"input": f"{i}+1=", "label": str(i + 1), "facts": {"level": i}} for i in range(25)]
COLUMNS = Columns(("input", "label", "facts"))
FORMS = ("jsonl", "parquet", "shards", "arrow", "splits", "hub", "stream", "function", "async_function")

# The library writes a name of its own into what it saves.
SALTED = ("arrow", "splits")

FUNCTION = """
import json, pathlib

def rows():
    for line in pathlib.Path(__file__).with_name("d.jsonl").read_text().splitlines():
        yield json.loads(line)
"""
ASYNC = FUNCTION.replace("def rows", "async def rows")


def source_of(form: str, root: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> TrainSource[Never]:
    """Write the rows in a form, and return a source that names them."""
    table = pa.Table.from_pylist(ROWS)
    (root / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    settings = {"metadata_key": "facts", **settings}
    if form == "jsonl":
        return TrainSource(path="d.jsonl", format="jsonl", **settings)
    if form == "parquet":
        pq.write_table(table, root / "d.parquet", row_group_size=7)
        return TrainSource(path="d.parquet", format="parquet", **settings)
    if form == "shards":
        (root / "shards").mkdir()
        pq.write_table(table.slice(0, 10), root / "shards" / "a.parquet", row_group_size=3)
        pq.write_table(table.slice(10), root / "shards" / "b.parquet")
        return TrainSource(path="shards", format="parquet", **settings)
    if form == "arrow":
        datasets.Dataset.from_list(ROWS).save_to_disk(str(root / "saved"))
        return TrainSource(path="saved", format="arrow", **settings)
    if form == "splits":
        both = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:2])}
        datasets.DatasetDict(both).save_to_disk(str(root / "splits"))
        return TrainSource(path="splits", format="arrow", split="train", **settings)
    if form in ("hub", "stream"):
        pq.write_table(table, root / "hub.parquet", row_group_size=7)
        serve(monkeypatch, {"some/sums": root / "hub.parquet"})
        streaming = form == "stream"
        return TrainSource(hub="some/sums", format="hub", split="train", streaming=streaming, **settings)
    text = ASYNC if form == "async_function" else FUNCTION
    (root / "rows.py").write_text(text)
    code = CustomCode(path="rows.py", function="rows", sha256=hashlib.sha256(text.encode()).hexdigest())
    return TrainSource(function="rows.py:rows", format="function", code=code, **settings)


def prompts_of(source: TrainSource[Never], root: Path, effort: Effort | None = None) -> list[tuple[Any, ...]]:
    found = load_prompts([source], DIGITS, root=root, max_prompt_tokens=100, overlong="error", effort=effort)
    return [(prompt.text, prompt.label, prompt.metadata) for prompt in found.prompts]


EXPECTED = [(row["input"], row["label"], row["facts"]) for row in ROWS]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_to_the_same_prompts(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(form, tmp_path, monkeypatch)
    assert prompts_of(source, tmp_path) == EXPECTED
    assert prompts_of(source, tmp_path, Effort(workers=3)) == EXPECTED


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rows", "expected"), [("5:12", slice(5, 12)), (":3", slice(3)), ("20:", slice(20, None))])
def test_a_slice_is_that_of_python(
    form: str, rows: str, expected: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(form, tmp_path, monkeypatch, rows=rows)
    assert prompts_of(source, tmp_path) == EXPECTED[expected]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rows", "written"), [("5:26", "5:26"), ("25:", "25:"), ("30:40", "30:40")])
def test_a_slice_beyond_the_rows_says_how_many_there_are(
    form: str, rows: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(form, tmp_path, monkeypatch, rows=rows)
    with pytest.raises(SpecError) as caught:
        prompts_of(source, tmp_path)
    (fault,) = caught.value.diagnostics
    assert fault.code == "RLC0615"
    expected = f'rows = "{written}" reaches beyond the rows of {source.called}: it has 25, numbers 0 to 24'
    assert fault.message == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [None, "3:20"])
@pytest.mark.parametrize("first", [0, 1, 8, 16])
def test_rows_from_a_number_on_are_the_tail(
    form: str, rows: str | None, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(form, tmp_path, monkeypatch, **({} if rows is None else {"rows": rows}))
    whole = ROWS if rows is None else ROWS[3:20]
    found = [unread(RowFaults()) for unread in open_rows(source, COLUMNS, root=tmp_path).rows(first)]
    assert [row.value["input"] for row in found if row is not None] == [row["input"] for row in whole[first:]]


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("stream", "function", "async_function")])
@pytest.mark.parametrize("rows", [None, "3:20"])
def test_rows_are_had_by_their_numbers(
    form: str, rows: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(form, tmp_path, monkeypatch, **({} if rows is None else {"rows": rows}))
    opened = open_indexed(source, COLUMNS, root=tmp_path)
    whole = ROWS if rows is None else ROWS[3:20]
    assert opened.load_index() == len(whole)
    for number in (len(whole) - 1, 0, 7):
        row = opened.row(number)(RowFaults())
        assert row is not None
        assert row.value["label"] == whole[number]["label"]


def fault_of(source: TrainSource[Never], root: Path) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        prompts_of(source, root)
    (fault,) = caught.value.diagnostics
    return fault


def test_a_bad_row_of_a_table_is_named_by_its_number_and_shown(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ROWS[0], {**ROWS[1], "input": None}, ROWS[2]]), tmp_path / "d.parquet")
    fault = fault_of(TrainSource(path="d.parquet", format="parquet"), tmp_path)
    assert fault.code == "RLC0603"
    assert fault.message.startswith('d.parquet: row 1: "input" has to be a text or a list')
    assert fault.labels[0].span.file.name == "d.parquet: row 1"
    assert fault.labels[0].span.text == '{"input": null, "label": "2"}'


def test_a_column_that_is_not_there_is_named_once_with_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    fault = fault_of(TrainSource(path="d.parquet", format="parquet", input_key="inputs"), tmp_path)
    assert (fault.code, fault.message) == ("RLC0602", 'd.parquet has no column "inputs"')
    assert [way.text for way in fault.help] == ['it has the column "input"', "it has: input, label, facts"]


def test_what_is_no_parquet_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").write_text('{"input": "1", "label": "1"}\n')
    fault = fault_of(TrainSource(path="d.parquet", format="parquet"), tmp_path)
    assert fault.code == "RLC0616"
    assert fault.message.startswith("d.parquet cannot be read as Parquet: ")


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (TrainSource(path="gone.parquet", format="parquet"), "RLC0601", "gone.parquet cannot be read: No such file"),
        (TrainSource(path="gone", format="arrow"), "RLC0601", "gone is no folder"),
        (TrainSource(path="empty", format="arrow"), "RLC0616", "empty is no saved data set"),
        (TrainSource(path="empty", format="parquet"), "RLC0601", "empty holds no file that ends in .parquet"),
        (TrainSource(hub="empty", format="hub", split="train"), "RLC0616", "empty is a folder here"),
    ],
)
def test_a_place_that_holds_no_rows_is_named(
    source: TrainSource[Never], code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    fault = fault_of(source, tmp_path)
    assert fault.code == code
    assert words in fault.message


@pytest.mark.parametrize(
    ("split", "words"), [("dev", "holds the splits train, test"), (None, "holds the splits train")]
)
def test_the_splits_of_a_folder_are_listed(
    split: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of("splits", tmp_path, monkeypatch)
    other: TrainSource[Never] = TrainSource(path="splits", format="arrow", split=split or OFF)
    assert source.split == "train"
    fault = fault_of(other, tmp_path)
    assert (fault.code, words in fault.message) == ("RLC0616", True)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_set_of_the_hub_that_cannot_be_had_is_named_with_what_failed(
    streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, {})
    settings: dict[str, Any] = {"split": "train[:5]", "subset": "main", "revision": "abc"}
    fault = fault_of(TrainSource(hub="some/gone", format="hub", streaming=streaming, **settings), tmp_path)
    assert fault.code == "RLC0616"
    why = "ConnectionError: Couldn't reach 'some/gone' on the Hub (offline)"
    assert fault.message == f"some/gone of the Hugging Face hub cannot be read: {why}"
    assert "save_to_disk" in fault.help[1].text
    assert asked == [("some/gone", "main", "train[:5]", "abc", streaming)]


def test_nulls_of_structs_are_absent_as_they_were_in_the_json(tmp_path: Path) -> None:
    messages = [[{"role": "user", "content": "1"}], [{"role": "user", "content": "2", "name": "eve"}]]
    table = pa.Table.from_pylist([{"input": "1", "label": one} for one in messages])
    pq.write_table(table, tmp_path / "d.parquet")
    found = prompts_of(TrainSource(path="d.parquet", format="parquet"), tmp_path)
    assert [label for _, label, _ in found] == messages


def test_what_json_cannot_hold_is_a_bad_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"input": ["1", "2"], "label": [0.5, float("nan")]}), tmp_path / "d.parquet")
    fault = fault_of(TrainSource(path="d.parquet", format="parquet"), tmp_path)
    assert fault.message == 'd.parquet: row 1: "label" holds nan, which is no JSON number'


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (
            "yield {'input': '1', 'label': '1'}\n    raise ValueError('no more')",
            "RLC0627",
            "failed: ValueError: no more",
        ),
        ("return 3", "RLC0627", "failed: TypeError: 'int' object is not iterable"),
        ("yield 'a text'", "RLC0603", "rows.py:rows: row 0 is a str, and a row is a dictionary"),
        ("yield {'input': '1', 'label': {1, 2}}", "RLC0603", '"label" holds a value of type set'),
        ("return []", "RLC0601", "rows.py:rows has no rows"),
    ],
    ids=["raises", "no rows", "no row", "no json", "empty"],
)
def test_a_function_that_fails_is_named_with_its_line(body: str, code: str, words: str, tmp_path: Path) -> None:
    text = f"def rows():\n    {body}\n"
    (tmp_path / "rows.py").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = CustomCode(path="rows.py", function="rows", sha256=digest)
    fault = fault_of(TrainSource(function="rows.py:rows", format="function", code=found), tmp_path)
    assert fault.code == code
    assert words in fault.message
    if body.startswith("yield {'input': '1', 'label': '1'}"):
        assert fault.labels[0].span.text == "raise ValueError('no more')"


def test_a_function_that_has_changed_since_the_plan_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text("raise SystemExit('it ran')\n")
    code = CustomCode(path="rows.py", function="rows", sha256="0" * 64)
    fault = fault_of(TrainSource(function="rows.py:rows", format="function", code=code), tmp_path)
    assert (fault.code, "rows.py has changed since the plan was made" in fault.message) == ("RLC0611", True)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "hub"])
def test_a_digest_changes_with_the_rows(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    before = digest_of([source_of(form, tmp_path / "one", monkeypatch)], root=tmp_path / "one")
    assert (
        digest_of([source_of(form, tmp_path / "two", monkeypatch)], root=tmp_path / "two") == before or form in SALTED
    )
    if form in ("jsonl", "parquet", "arrow"):
        folder = {"jsonl": "d.jsonl", "parquet": "d.parquet", "arrow": "saved"}[form]
        changed = tmp_path / "one" / folder
        changed = changed if changed.is_file() else next(changed.glob("*.arrow"))
        data = bytearray(changed.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        source: TrainSource[Never] = TrainSource(path=folder, format=form)
        assert digest_of([source], root=tmp_path / "one") != before


@pytest.mark.parametrize(
    ("form", "module"), [("parquet", "pyarrow.parquet"), ("arrow", "datasets"), ("hub", "datasets")]
)
def test_a_library_that_is_not_installed_is_named(
    form: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(form, tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, module, None)
    fault = fault_of(source, tmp_path)
    missing = module.partition(".")[0]
    assert (fault.code, f"read by {missing}, which is not installed" in fault.message) == ("RLC0661", True)
