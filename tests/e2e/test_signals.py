"""Ctrl-C and SIGTERM end a run cleanly, and the same command continues it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.processes import Ended, Process, Server
from tests.support.run_directory import newest_checkpoint, results_of, snapshot

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGINT, 5), (signal.SIGTERM, 6)], ids=["interrupt-within", "terminate-at-the-end"]
)
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path, number: signal.Signals, step: int
) -> None:
    # The first stage has 6 steps of one backward pass each; no checkpoint is due after the fifth.
    process = _start(server, home, tmp_path, gate=("backward", step))
    process.signal(number)
    process.goes_on()
    ended = process.wait()
    assert (ended.code, ended.err) == (130, "")
    assert "stopping after this step; a checkpoint will be saved" in ended.out
    assert f"stopped as asked after step {step} of stage sft, and saved; run the same command again to" in ended.out
    assert newest_checkpoint(tmp_path / "run").name == f"step_{step:06d}"
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home).code == 0
    assert results_of(tmp_path / "run") == results_of(undisturbed[0])


def test_a_signal_in_the_first_evaluation_of_a_stage_does_not_repeat_it(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    # Rows 1 to 8 are those of the first stage: 6 steps, 2 evaluations.
    process = _start(server, home, tmp_path, gate=("row", 9))
    assert newest_checkpoint(tmp_path / "run").name == "step_000006"
    process.signal(signal.SIGINT)
    process.goes_on()
    ended = process.wait()
    assert ended.code == 130
    assert "stopped as asked after step 0 of stage grpo" in ended.out
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home).code == 0
    assert results_of(tmp_path / "run") == results_of(undisturbed[0])


def test_a_signal_in_the_last_step_leaves_a_run_that_is_finished(server: Server, home: Path, tmp_path: Path) -> None:
    # Checkpoints: three of the first stage, four of the second, of which this is the last.
    process = _start(server, home, tmp_path, gate=("before_rename", 7))
    process.signal(signal.SIGINT)
    process.goes_on()
    ended = process.wait()
    assert ended.code == 0
    assert "tiny: finished" in ended.out


def test_a_second_interrupt_ends_at_once_without_another_checkpoint(server: Server, home: Path, tmp_path: Path) -> None:
    process = _start(server, home, tmp_path, gate=("backward", 4))
    before = snapshot(tmp_path / "run" / "checkpoints")
    process.signal(signal.SIGINT)
    process.says("stopping after this step")
    process.signal(signal.SIGINT)
    assert process.wait().code == 130
    assert snapshot(tmp_path / "run" / "checkpoints") == before


def _start(server: Server, home: Path, tmp_path: Path, *, gate: tuple[str, int]) -> Process:
    process = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, gate=gate)
    assert process.reaches_its_gate()
    return process
