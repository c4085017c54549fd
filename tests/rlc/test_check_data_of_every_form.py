"""`rlc check --data`, `rlc explain` and `--shrink` of sources that are no file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlc.cli.main import main

Captured = pytest.CaptureFixture[str]
Golden = Callable[[str, str], None]

SPEC = """\
rlc = 1
name = "sums"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 4
max_prompt_tokens = 6
max_response_tokens = 5

[reward]
name = "exact"

[train]
global_batch = 16

"""
ROWS = [{"input": f"{a}+{a}=", "label": str(2 * a)} for a in range(9)]
SOURCE = "def rows():\n    raise SystemExit('it ran')\n"


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "train.parquet")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "source.py").write_text(SOURCE)
    return tmp_path


def checked(capsys: Captured, data: str, *, code: int = 0) -> tuple[str, str]:
    Path("spec.toml").write_text(SPEC + data)
    assert main(["--ascii", "check", "--data", "spec.toml"]) == code
    out, err = capsys.readouterr()
    return out, err


def test_the_rows_of_a_slice_are_those_that_are_counted(capsys: Captured) -> None:
    out, err = checked(capsys, '[[data.train]]\npath = "train.parquet"\nrows = "1:5"\n')
    assert err == ""
    assert "train: 4 rows, the longest prompt of 4 tokens; 10 steps of 4 are 10 epochs" in out


def test_rows_at_fault_and_slices_beyond_the_rows_are_told_at_their_places(
    lab: Path, capsys: Captured, golden: Golden
) -> None:
    pq.write_table(pa.Table.from_pylist([*ROWS, {"input": "NO", "label": "1"}]), lab / "train.parquet")
    sources = '[[data.train]]\npath = "train.parquet"\n\n[[data.train]]\npath = "train.jsonl"\nrows = "5:50"\n'
    out, err = checked(capsys, sources, code=1)
    golden("data/rows_of_tables.txt", f"{out}\n{err}")


def test_a_check_runs_no_code_and_reads_the_beginning_of_a_stream(capsys: Captured) -> None:
    sources = (
        '[[data.train]]\npath = "train.jsonl"\nstreaming = true\nweight = 1.0\n\n'
        '[[data.train]]\nfunction = "source.py:rows"\nweight = 1.0\n'
    )
    out, err = checked(capsys, sources)
    assert err == ""
    assert "train.jsonl: of a stream the first 1,000 rows are read" in out
    assert "source.py:rows: rows of a function are not read: a check runs no code" in out
    assert "train: 9 rows, the longest prompt of 4 tokens" in out
    assert "epochs" not in out


def test_where_a_format_comes_from_is_explained(capsys: Captured) -> None:
    Path("spec.toml").write_text(SPEC + '[[data.train]]\npath = "train.parquet"\n')
    assert main(["explain", "spec.toml", "data.train[0].format"]) == 0
    out = capsys.readouterr().out
    assert 'data.train.0.format = "parquet"' in out
    assert 'data.train.0.path = "train.parquet"' in out


def test_a_small_experiment_keeps_its_mixture(capsys: Captured) -> None:
    sources = (
        '[data]\nworkers = 8\n\n[[data.train]]\npath = "train.jsonl"\nrows = "1:5"\nweight = 3.0\n\n'
        '[[data.train]]\npath = "train.parquet"\nstreaming = true\nweight = 1.0\n'
    )
    Path("spec.toml").write_text(SPEC + sources)
    assert main(["--ascii", "plan", "--shrink", "--json", "spec.toml"]) == 0
    stage = json.loads(capsys.readouterr().out)["experiment"]["stages"][0]
    kept = [(one["path"], one["rows"], one["weight"], one["streaming"]) for one in stage["data"]["train"]]
    assert kept == [("train.jsonl", "1:5", 3.0, False), ("train.parquet", "off", 1.0, True)]
