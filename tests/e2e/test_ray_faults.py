"""A run on Ray whose processes are killed or stopped ends like one that was never disturbed.

`./do chaos N` draws who is struck, how and when, with N seeds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.process_tree import below, wait_for_the_end_of, words_of
from tests.support.processes import Ended, Process, Server
from tests.support.run_directory import results_of, rows_of
from tests.support.tiny_cluster import cluster_spec, write_cluster_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ON_RAY = ("--set", 'run.executor="ray"', "--set", "run.health_interval_s=0.2", "--set", "run.health_timeout_s=10.0")
_PATIENCE_S = 240.0
# Rows after which the last process is struck at the latest, of twenty.
_LAST_MOMENT = 12
_WORDS = {"rank": "ray::RankShell", "engine": "ray::EngineShell", "server": " serve "}


def _wait_until(process: Process, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, process.printed()
        time.sleep(0.02)


def _has_rows(run_dir: Path, count: int) -> bool:
    rows = run_dir / "metrics.jsonl"
    return rows.exists() and rows.read_bytes().count(b"\n") >= count


def _found(process: Process, kind: str) -> list[int]:
    words = {pid: words_of(pid) for pid in below(process.pid)}
    return [pid for pid, said in words.items() if _WORDS[kind] in said and "server_guard" not in said]


def _strike(process: Process, kind: str, number: signal.Signals) -> None:
    """Send a signal to the process of this kind, as soon as there is one."""
    _wait_until(process, lambda: bool(_found(process, kind)))
    os.kill(_found(process, kind)[0], number)


def _wait_for_restart(process: Process, number: int) -> None:
    _wait_until(process, lambda: process.printed().count("RLC0784") >= number)


def test_whatever_is_killed_and_whenever_the_run_ends_like_one_that_never_lost_a_process(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path, chaos_seed: int
) -> None:
    """Who trains, who generates and the driver, each once; the driver's successor is started by hand."""
    draw, run_dir, everything = random.Random(chaos_seed), tmp_path / "struck", set[int]()
    moments = sorted(draw.sample(range(1, _LAST_MOMENT), 3))
    process, num_restarts = server.start("run", "spec.toml", "--run-dir", run_dir, *ON_RAY, cwd=home), 0
    for rows, kind in zip(moments, draw.sample(("rank", "engine", "driver"), 3), strict=True):
        _wait_until(process, lambda rows=rows: _has_rows(run_dir, rows))
        everything |= below(process.pid)
        if kind != "driver":
            _strike(process, kind, signal.SIGKILL)
            num_restarts += 1
            _wait_for_restart(process, num_restarts)
            continue
        process.signal(signal.SIGKILL)
        assert process.wait().code == -signal.SIGKILL
        process, num_restarts = server.start("run", "spec.toml", "--run-dir", run_dir, *ON_RAY, cwd=home), 0
    ended = process.wait()
    assert (ended.code, ended.err) == (0, "")
    assert results_of(run_dir) == results_of(undisturbed[0])
    wait_for_the_end_of(everything)


@pytest.fixture(scope="module")
def on_a_cluster(server: Server, home: Path) -> Path:
    """The run directory of the tiny experiment on two ranks and two engines, undisturbed."""
    write_cluster_experiment(home, "cluster.toml", cluster_spec())
    run_dir = home / "on_a_cluster"
    ended = server.run("run", "cluster.toml", "--run-dir", run_dir, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    return run_dir


def _assert_same(run_dir: Path, other: Path) -> None:
    """Compare all but what engines say of themselves: one that is new has counted nothing.

    What an engine computes beside other requests than before is rounded otherwise; what it draws is not.
    """
    found, wanted = (
        [{k: v for k, v in row.items() if not k.startswith("engine/")} for row in rows_of(run)]
        for run in (run_dir, other)
    )
    assert len(found) == len(wanted)
    for row, same in zip(found, wanted, strict=True):
        assert row.pop("stage") == same.pop("stage")
        assert row == pytest.approx(same, rel=1e-4, abs=1e-5)
    assert _drawn(run_dir) == _drawn(other)


def _drawn(run_dir: Path) -> list[tuple[str, int, int, str, int]]:
    """Return every sample that is kept of every step: its step, its place there, its text, and its weights' version."""
    paths = sorted((run_dir / "transcripts").glob("*.jsonl"))
    lines = [(path.name, json.loads(line)) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [(name, s["group"], s["sample"], s["response"], s["last_version"]) for name, s in lines]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_engine_that_dies_or_hangs_is_started_anew_while_the_run_goes_on(
    server: Server, home: Path, on_a_cluster: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run_dir = tmp_path / "struck"
    process = server.start("run", "cluster.toml", "--run-dir", run_dir, *ON_RAY, cwd=home)
    _wait_until(process, lambda: _has_rows(run_dir, 9))
    _strike(process, "server", number)
    pids = below(process.pid)
    ended = process.wait()
    assert (ended.code, ended.err) == (0, "")
    assert "restart 1 of 8 (run.engine_restarts) of rollout engine" in " ".join(ended.out.split())
    assert "RLC0784" not in ended.out
    _assert_same(run_dir, on_a_cluster)
    wait_for_the_end_of(pids)
