"""Rows of every form in a running job: mixed, streamed, killed and resumed, and what a bad row does to it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.processes import Ended, Server
from tests.support.run_directory import results_of, rows_of
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

FUNCTION = """
async def rows():
    for a in range(5):
        for b in range(5):
            yield {"input": f"{a}+{b}=", "label": str(a + b)}
"""
ONE = '[[data.train]]\npath = "sums.jsonl"\n'
MIXED = """
[data]
shuffle_window = 6
malformed_rows = "drop"
prefetch = 3
workers = 2

[[data.train]]
path = "sums.jsonl"
weight = 2.0
rows = "2:19"

[[data.train]]
path = "sums.parquet"
weight = 1.0
streaming = true

[[data.train]]
function = "more.py:rows"
weight = 1.0
"""
NAMES = ("sums.jsonl", "sums.parquet", "more.py:rows")


def write_mixed(folder: Path, *, data: str = MIXED) -> Path:
    spec = write_experiment(folder, spec=SPEC.replace(ONE, data))
    rows = [json.loads(line) for line in (folder / "sums.jsonl").read_text().splitlines()]
    # A row in the middle that no tokenizer of digits takes.
    pq.write_table(pa.Table.from_pylist([*rows[:5], {"input": "x", "label": "1"}, *rows[5:]]), folder / "sums.parquet")
    (folder / "more.py").write_text(FUNCTION)
    return spec


@pytest.fixture(scope="module")
def mixed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder of a run on mixed sources that was never disturbed, and how it ended."""
    folder = tmp_path_factory.mktemp("mixed")
    write_mixed(folder)
    return folder, server.run("run", "spec.toml", "--run-dir", "whole", cwd=folder)


def test_each_source_gives_its_share_and_bad_rows_are_counted(mixed: tuple[Path, Ended]) -> None:
    folder, ended = mixed
    assert (ended.code, ended.err) == (0, "")
    steps = [row for row in rows_of(folder / "whole") if "data/drawn_malformed_rows" in row]
    assert [row["stage"] for row in steps] == ["sft"] * 6 + ["grpo"] * 8
    for stage, taken in (("sft", 6 * 4), ("grpo", 8 * 4)):
        drawn = [sum(row[f"data/rows/{name}"] for row in steps if row["stage"] == stage) for name in NAMES]
        bad = sum(row["data/drawn_malformed_rows"] for row in steps if row["stage"] == stage)
        assert sum(drawn) == taken
        for share, count in zip((0.5, 0.25, 0.25), drawn, strict=True):
            assert abs(count - share * taken) <= 3
        assert bad == 1.0  # each stage passes the middle of the first epoch once
    timed = [json.loads(line) for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["time/data_wait_s"] >= 0.0 for row in timed if "time/train_s" in row)


@pytest.mark.parametrize("gate", [("backward", 3), ("backward", 9), ("rollout", 6), ("before_rename", 2)])
def test_a_run_on_streams_that_is_killed_ends_as_one_that_never_was(
    server: Server, mixed: tuple[Path, Ended], gate: tuple[str, int]
) -> None:
    folder, name = mixed[0], f"killed_{gate[0]}_{gate[1]}"
    process = server.start("run", "spec.toml", "--run-dir", name, cwd=folder, gate=gate)
    assert process.reaches_its_gate()
    process.signal(signal.SIGKILL)
    process.wait()
    # How far rows are read ahead, and by how many threads, may change: what comes may not.
    changed = ("--set", "data.prefetch=0", "--set", "data.workers=1")
    ended = server.run("run", "spec.toml", "--run-dir", name, *changed, cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    assert results_of(folder / name) == results_of(folder / "whole")


def test_a_bad_row_of_a_stream_ends_the_run_and_the_checkpoint_stays(server: Server, tmp_path: Path) -> None:
    data = '[data]\nshuffle = false\n\n[[data.train]]\npath = "sums.parquet"\nstreaming = true\n'
    spec = write_mixed(tmp_path, data=data)
    rows = [{"input": "1+1=", "label": "2"}] * 14
    pq.write_table(pa.Table.from_pylist([*rows, {"input": "x", "label": "1"}]), tmp_path / "sums.parquet")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0606]: sums.parquet: row 14: 'x' has no token" in ended.err
    assert '{"input": "x", "label": "1"}' in ended.err
    # Of steps of 4 rows three could be taken, and the second was saved.
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_000002"]


def test_rows_judged_when_drawn_come_to_the_same_as_rows_judged_at_the_start(
    server: Server, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC.replace(ONE, '[data]\ncheck = "as_read"\n\n' + ONE))
    assert server.run("run", spec, "--run-dir", "run", cwd=tmp_path).code == 0
    later, ready = results_of(tmp_path / "run"), results_of(undisturbed[0])
    assert (later.weights, later.transcripts) == (ready.weights, ready.transcripts)


def test_a_function_that_fails_in_a_running_job_is_named_with_its_line(server: Server, tmp_path: Path) -> None:
    spec = write_mixed(tmp_path, data='[data]\nshuffle = false\n\n[[data.train]]\nfunction = "more.py:rows"\n')
    (tmp_path / "more.py").write_text(FUNCTION.replace("    for a", "    yield {}['gone']\n    for a"))
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0627]: more.py:rows failed: KeyError: 'gone'" in ended.err
    assert "yield {}['gone']" in ended.err
