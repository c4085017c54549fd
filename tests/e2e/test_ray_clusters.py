"""Plans for a cluster, executed on Ray: several ranks that train, several engines, and machines that are pretended."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
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
        assert row["stage"] == other["stage"]
        numbers, wanted_numbers = ({k: v for k, v in one.items() if k != "stage"} for one in (row, other))
        assert numbers == pytest.approx(wanted_numbers, rel=CLOSE, abs=CLOSE)


def _wait_for_rows(process: Process, run_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 600
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


def test_sampling_goes_on_beside_training_and_nothing_trained_on_is_older_than_the_bound(
    server: Server, home: Path
) -> None:
    """Each step trains on one rollout in one update, so a step trains under the version that its number says."""
    asynchronous = {"train.global_batch = 8": "train.global_batch = 16", "run.max_steps = 6": "run.max_steps = 1"}
    schedule = '[stages.schedule]\nmode = "async"\nmax_staleness = 2\n'
    write_cluster_experiment(home, "async.toml", cluster_spec() + schedule, asynchronous)
    run_dir = home / "async"
    ended = server.run("run", "async.toml", "--run-dir", run_dir, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    trained = [row for row in _rows(run_dir) if "schedule/staleness_max" in row]
    assert len(trained) == 8
    assert 1 <= max(row["schedule/staleness_max"] for row in trained) <= 2


def test_a_part_of_a_plan_that_is_not_started_is_refused_before_anything_is(server: Server, home: Path) -> None:
    write_cluster_experiment(home, "wide.toml", cluster_spec())
    wide = ("--set", "placement.gpus_per_engine=2")
    ended = server.run("run", "wide.toml", "--run-dir", home / "wide", *wide, cwd=home)
    assert ended.code != 0
    assert "error[RLC0758]: this plan cannot be executed on Ray: placement.gpus_per_engine" in ended.err
    assert not (home / "wide" / "logs").exists()


def test_a_rank_that_is_stopped_is_named_with_its_machine_and_not_those_that_wait_for_it(
    server: Server, home: Path
) -> None:
    write_cluster_experiment(home, "stopped.toml", cluster_spec(), {"run.max_steps = 6": "run.max_steps = 10000"})
    run_dir = home / "stopped_rank"
    short = ("--set", "timeouts.train_step_s=10", "--set", "run.trainer_restarts=0")
    process = server.start("run", "stopped.toml", "--run-dir", run_dir, *short, cwd=home)
    _wait_for_rows(process, run_dir, 2)
    os.kill(_writer_of(run_dir / "logs" / "trainer_1.log"), signal.SIGSTOP)
    ended = process.wait()
    assert ended.code == 4
    said = " ".join(ended.err.split())
    assert "error[RLC0764]: trainer 1 (placement.roles." in said
    assert ", node 0 at 127." in said
    assert ") did not answer " in said


def _writer_of(log: Path) -> int:
    """Return the process whose output goes to a file."""
    for output in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if output.readlink() == log:
                return int(output.parts[2])
    raise AssertionError(log)
