"""Plans for a cluster, executed on Ray: several ranks that train, several engines, and machines that are pretended."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Ended, Process, Server
from tests.support.tiny_cluster import cluster_spec, write_cluster_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# The order of sums over ranks is another one.
CLOSE = 1e-5
# What engines say of their caches is said of each of them, and not of all.
OF_ONE_ENGINE = ("engine/", "time/")


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(OF_ONE_ENGINE)} for line in lines]


def _assert_same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        assert row == pytest.approx(other, rel=CLOSE, abs=CLOSE)


def _wait_for_rows(process: Process, run_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 300
    rows = run_dir / "metrics.jsonl"
    while not rows.exists() or rows.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, process.printed()
        time.sleep(0.02)


def test_two_ranks_and_two_engines_train_what_one_process_trains(
    server: Server, home: Path, undisturbed: tuple[Path, Ended]
) -> None:
    write_cluster_experiment(home, "split.toml", cluster_spec())
    run_dir = home / "split"
    ended = server.run("run", "split.toml", "--run-dir", run_dir, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    _assert_same(_rows(run_dir), _rows(undisturbed[0]))
    logs = {path.name for path in (run_dir / "logs").iterdir()}
    assert {"trainer_0.log", "trainer_1.log", "engine_0.log", "engine_1.log"} <= logs


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_a_run_on_two_machines_that_ends_early_goes_on_as_if_it_had_not(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], end: signal.Signals
) -> None:
    """Both share their ranks: each machine has one that trains, and an engine beside it."""
    name = f"shared_{end.name}"
    write_cluster_experiment(home, f"{name}.toml", cluster_spec(mode="colocate", nodes=2, gpus=1))
    run_dir = home / name
    process = server.start("run", f"{name}.toml", "--run-dir", run_dir, cwd=home)
    _wait_for_rows(process, run_dir, 10)
    process.signal(end)
    assert process.wait().code == (130 if end == signal.SIGTERM else -signal.SIGKILL)
    ended = server.run("run", f"{name}.toml", "--run-dir", run_dir, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    _assert_same(_rows(run_dir), _rows(undisturbed[0]))
