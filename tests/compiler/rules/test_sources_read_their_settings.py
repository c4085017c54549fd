"""A setting that the form of a source does not read is an error, and one that it reads is not."""

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

FILE, SAVED, HUB = 'path = "a.jsonl"', 'path = "saved"', 'hub = "some/sums", split = "train"'


@pytest.mark.parametrize(
    ("source", "raised"),
    [
        (f"{FILE}, split = 'x'", ["RLC0361"]),
        (f"{FILE}, subset = 'x'", ["RLC0361"]),
        (f"{SAVED}, split = 'x'", []),
        (f"{SAVED}, revision = 'x'", ["RLC0361"]),
        (f"{HUB}, subset = 'x', revision = 'y', streaming = true", []),
        (f"{FILE}, streaming = true", []),
        ("function = 'mine.py:rows'", []),
        ("function = 'mine.py:rows', streaming = true", ["RLC0361"]),
        ("function = 'mine.py:rows', split = 'x'", ["RLC0361"]),
    ],
)
def test_what_each_form_reads(tmp_path: Path, source: str, raised: list[str]) -> None:
    (tmp_path / "mine.py").write_text("def rows():\n    yield {}\n")
    assert codes(tmp_path, {"data.train": f"[{{ {source} }}]"}) == raised


STREAM: Changes = {"data.train": f"[{{ {FILE}, streaming = true }}]"}
MIXED: Changes = {"data.train": f"[{{ {FILE}, streaming = true, weight = 1.0 }}, {{ {FILE}, weight = 1.0 }}]"}
LATER: Changes = {"data.check": '"as_read"'}


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"data.prefetch": "4"}, ["RLC0361"]),
        ({"data.prefetch": "4", **LATER}, []),
        ({"data.prefetch": "4", **STREAM}, []),
        ({"data.shuffle_window": "9"}, ["RLC0361"]),
        ({"data.shuffle_window": "9", **STREAM}, []),
        ({"data.shuffle_window": "9", "data.shuffle": "false", **STREAM}, ["RLC0361"]),
        ({**LATER, **STREAM}, ["RLC0361"]),
        ({**LATER, **MIXED}, []),
        ({"data.workers": "3", "data.malformed_rows": '"drop"'}, []),
    ],
)
def test_what_is_read_of_how_rows_are_read(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    assert codes(tmp_path, changes) == raised


@pytest.mark.parametrize(("rows", "raised"), [("", ["RLC0361"]), (', rows = "3:"', ["RLC0361"]), (', rows = ":9"', [])])
def test_a_function_to_measure_on_has_an_end(tmp_path: Path, rows: str, raised: list[str]) -> None:
    (tmp_path / "mine.py").write_text("def rows():\n    yield {}\n")
    changes: Changes = {"eval.sets": f'[{{ name = "own", function = "mine.py:rows"{rows} }}]'}
    assert codes(tmp_path, changes) == raised
