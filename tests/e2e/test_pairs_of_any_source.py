"""A reward model on pairs of Parquet files and streams: the same numbers as from lines, killed or not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.processes import Server
from tests.support.run_directory import results_of, rows_of
from tests.support.tiny_experiment import MODEL

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SPEC = f"""rlc = 1
name = "scorer"
use = ["//recipes:reward_model_bt"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 6

[train]
global_batch = 8

[optim]
lr = 1e-2

[eval]
interval = 3

[checkpoint]
interval = 2
"""
HELDOUT = '\n[[eval.pairs]]\nname = "heldout"\npath = "heldout.FORM"\n'
AT_START = '\n[[data.train]]\npath = "pairs.FORM"\nmargin_key = "margin"\n' + HELDOUT
AS_READ = '\n[data]\ncheck = "as_read"\nworkers = 2\n' + AT_START
MIXED = """
[data]
shuffle_window = 6

[[data.train]]
path = "pairs.parquet"
margin_key = "margin"
streaming = true
weight = 2.0

[[data.train]]
path = "pairs.jsonl"
rows = "3:30"
weight = 1.0
""" + HELDOUT.replace("FORM", "parquet")
PAIRS = [
    {"input": f"{q}+1=", "chosen": str(more), "rejected": str(less), "margin": (more - less) / 10}
    for q in range(1, 5)
    for more in range(1, 8)
    for less in range(0, more, 2)
]


def write(folder: Path, data: str, form: str = "jsonl") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "spec.toml").write_text(SPEC + data.replace("FORM", form))
    for name, rows in (("pairs", PAIRS[:48]), ("heldout", PAIRS[48:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", row_group_size=7)


def measured(run_dir: Path) -> list[float]:
    return [
        value for row in rows_of(run_dir) for key, value in row.items() if key.startswith(("train/", "eval/heldout"))
    ]


def test_the_form_of_a_source_and_when_it_is_judged_change_no_number(server: Server, tmp_path: Path) -> None:
    found: list[list[float]] = []
    for name, data, form in (("a", AT_START, "jsonl"), ("b", AT_START, "parquet"), ("c", AS_READ, "parquet")):
        write(tmp_path / name, data, form)
        ended = server.run("run", "spec.toml", "--run-dir", "run", cwd=tmp_path / name)
        assert (ended.code, ended.err) == (0, "")
        found.append(measured(tmp_path / name / "run"))
    assert len(found[0]) > 12
    assert found[0] == found[1] == found[2]


def test_a_reward_model_on_a_stream_that_is_killed_ends_as_one_that_never_was(server: Server, tmp_path: Path) -> None:
    write(tmp_path, MIXED)
    ended = server.run("run", "spec.toml", "--run-dir", "whole", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    process = server.start("run", "spec.toml", "--run-dir", "killed", cwd=tmp_path, gate=("backward", 4))
    assert process.reaches_its_gate()
    process.signal(signal.SIGKILL)
    process.wait()
    ended = server.run("run", "spec.toml", "--run-dir", "killed", "--set", "data.prefetch=0", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "whole")
