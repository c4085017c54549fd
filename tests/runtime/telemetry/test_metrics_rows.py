import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.rows import (
    encode_row,
    evaluation_sets,
    is_evaluation,
    metrics_over_samples,
    number_at,
    read_rows,
)

_NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers())
_KEYS = st.text(min_size=1).filter(lambda key: key not in ("stage", "step", "global_step"))


def test_leading_keys_come_first_and_the_others_are_sorted():
    row = {"train/loss": 0.1, "global_step": 7, "eval/a/accuracy": 1.0, "step": 2, "stage": "rl"}
    assert (
        encode_row(row) == b'{"stage": "rl", "step": 2, "global_step": 7, "eval/a/accuracy": 1.0, "train/loss": 0.1}\n'
    )


def test_numbers_are_written_in_their_shortest_form():
    assert b'"x": 0.1}' in encode_row({"x": 0.1})
    assert b'"x": 1e-07}' in encode_row({"x": 1e-7})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(value: float):
    assert json.loads(encode_row({"x": value})) == {"x": None}


def test_a_value_that_is_no_number_is_refused():
    row: Any = {"x": [1.0]}
    with pytest.raises(TypeError, match="not list"):
        encode_row(row)


@given(st.dictionaries(_KEYS, _NUMBERS))
def test_a_row_read_back_is_the_row_written(tmp_path_factory: pytest.TempPathFactory, extra: dict[str, float]):
    row = {"stage": "a\nb", "step": 1, "global_step": 1, **extra}
    path = tmp_path_factory.mktemp("rows") / "metrics.jsonl"
    path.write_bytes(encode_row(row) * 2)
    assert read_rows(path) == [row, row]


def test_an_unfinished_last_line_is_not_a_row(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": "a", "step": 1, "global_step": 1}\n{"stage": "a", "st')
    assert [row["step"] for row in read_rows(path)] == [1]


@pytest.mark.parametrize("line", [b"", b"[1]", b"{", b'{"stage": "a"}'])
def test_another_broken_line_is_named(tmp_path: Path, line: bytes):
    whole = b'{"stage": "a", "step": 1, "global_step": 1}\n'
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(whole + line + b"\n" + whole)
    with pytest.raises(SpecError, match="RLC0652: line 2 of"):
        read_rows(path)


def test_null_comes_back_as_nan_and_counts_as_no_number(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(encode_row({"stage": "a", "step": 1, "global_step": 1, "train/loss": math.inf}))
    (row,) = read_rows(path)
    assert math.isnan(float(row["train/loss"]))
    assert number_at(row, "train/loss") is None
    assert number_at(row, "train/kl") is None


def test_evaluation_rows_are_known_by_their_keys():
    row = {"stage": "a", "step": 0, "eval/b/greedy": 0.5, "eval/a/accuracy": 0.5}
    assert is_evaluation(row)
    assert evaluation_sets(row) == ["a", "b"]
    assert not is_evaluation({"stage": "a", "step": 1, "train/loss": 1.0})


def test_metrics_of_several_responses_are_sorted_by_number() -> None:
    keys = ("eval/a/pass@16", "eval/a/pass@2", "eval/a/pass@2_low", "eval/a/cons@4", "eval/b/pass@8", "eval/a/accuracy")
    assert metrics_over_samples(dict.fromkeys(keys, 0.5), "a") == ["cons@4", "pass@2", "pass@16"]
