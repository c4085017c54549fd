"""A run on Ray, in processes of its own, against the same run in one process."""

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

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ON_RAY = ("--set", 'run.executor="ray"')


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]


@pytest.fixture(scope="module")
def on_ray(server: Server, home: Path) -> tuple[Path, Ended]:
    """The run directory of the tiny experiment on Ray, and how it ended."""
    run_dir = home / "on_ray"
    return run_dir, server.run("run", "spec.toml", "--run-dir", run_dir, *ON_RAY, cwd=home)


def test_every_metric_of_every_step_is_bit_by_bit_that_of_one_process(
    on_ray: tuple[Path, Ended], undisturbed: tuple[Path, Ended]
) -> None:
    assert (on_ray[1].code, on_ray[1].err) == (0, "")
    assert _rows(on_ray[0]) == _rows(undisturbed[0])


def test_the_last_checkpoint_has_the_same_bytes(on_ray: tuple[Path, Ended], undisturbed: tuple[Path, Ended]) -> None:
    for name in ("model.safetensors", "trainer.safetensors"):
        last = [sorted((run / "checkpoints").glob("step_*"))[-1] / name for run, _ in (on_ray, undisturbed)]
        assert last[0].read_bytes() == last[1].read_bytes()


def _below(pid: int) -> set[int]:
    """Return the processes that descend from one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def _wait_for_the_end_of(pids: set[int]) -> None:
    deadline = time.monotonic() + 60
    while left := {pid for pid in pids if _words(pid)}:
        assert time.monotonic() < deadline, [_words(pid) for pid in left]
        time.sleep(0.05)


def _ranks(pids: set[int]) -> list[int]:
    return [pid for pid in pids if "RankShell" in _words(pid)]


def _when_training(process: Process, run_dir: Path) -> set[int]:
    """Wait for the first rows of a run, and return its processes."""
    deadline = time.monotonic() + 120
    rows = run_dir / "metrics.jsonl"
    while not (rows.exists() and rows.stat().st_size):
        assert time.monotonic() < deadline, process.printed()
        time.sleep(0.02)
    return _below(process.pid)


@pytest.fixture
def long_run(home: Path) -> Path:
    """The tiny experiment with more steps than a test waits for."""
    spec = home / "long.toml"
    spec.write_text((home / "spec.toml").read_text().replace("run.max_steps = 8", "run.max_steps = 10000"))
    return spec


def test_no_process_outlives_a_driver_that_is_killed_and_its_token_is_in_no_command_line(
    server: Server, home: Path, long_run: Path
) -> None:
    run_dir = home / "killed"
    process = server.start("run", long_run.name, "--run-dir", run_dir, *ON_RAY, cwd=home)
    pids = _when_training(process, run_dir)
    assert _ranks(pids)
    tokens = [path.read_text() for pid in pids if (path := _token_of(pid)) is not None]
    assert tokens
    assert not [pid for pid in pids if any(token in _words(pid) for token in tokens)]
    process.signal(signal.SIGKILL)
    process.wait()
    _wait_for_the_end_of(pids)


def _token_of(pid: int) -> Path | None:
    """Return the file of the token that a process was started with."""
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"RAY_AUTH_TOKEN_PATH="):
                path = Path(variable.decode().partition("=")[2])
                assert path.stat().st_mode & 0o077 == 0
                return path
    return None


def test_a_rank_that_is_killed_is_named_with_its_place_in_the_plan_and_leaves_no_process(
    server: Server, home: Path, long_run: Path
) -> None:
    run_dir, once = home / "lost_rank", ("--set", "run.trainer_restarts=0")
    process = server.start("run", long_run.name, "--run-dir", run_dir, *ON_RAY, *once, cwd=home)
    pids = _when_training(process, run_dir)
    os.kill(_ranks(pids)[0], signal.SIGKILL)
    ended = process.wait()
    assert ended.code == 4
    assert "error[RLC0762]: trainer 0 (placement.roles.3, node 0 at 127.0.0.1) is gone" in ended.err
    assert str(run_dir / "logs" / "trainer_0.log") in ended.err.replace("\n", "")
    _wait_for_the_end_of(pids)


def test_sigterm_ends_after_the_step_with_a_checkpoint_and_the_run_goes_on_from_there(
    server: Server, home: Path, long_run: Path
) -> None:
    run_dir = home / "stopped"
    process = server.start("run", long_run.name, "--run-dir", run_dir, *ON_RAY, cwd=home)
    pids = _when_training(process, run_dir)
    process.signal(signal.SIGTERM)
    ended = process.wait()
    assert (ended.code, ended.err) == (130, "")
    assert list((run_dir / "checkpoints").glob("step_*"))
    _wait_for_the_end_of(pids)
