"""A run that is killed with SIGKILL again and again ends exactly like one that never was.

Oracle: the same experiment, undisturbed.  `./do chaos N` draws the moments with N seeds.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.processes import PLACES, Ended, Server
from tests.support.run_directory import newest_checkpoint, points_of, results_of, snapshot

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# How often a place is passed at most before the kill, so that a run of 14 steps is not over before.
_MOST_VISITS = {"rollout": 6, "evaluation": 6, "backward": 4, "row": 4, "before_rename": 2, "after_rename": 2}
_NEEDED = ("rollout", "backward", "before_rename")
_LONGEST_DELAY_S = 1.0


def test_a_run_killed_at_random_moments_ends_like_one_that_never_was(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path, chaos_seed: int
) -> None:
    draw, run_dir, landed = random.Random(chaos_seed), tmp_path / "killed", list[str]()
    for place in draw.sample(_NEEDED, len(_NEEDED)):
        _kill_at(server, home, run_dir, (place, draw.randint(1, _MOST_VISITS[place])))
        landed.append(place)
    for _ in range(2):
        _kill_after(server, home, run_dir, draw.uniform(0.0, _LONGEST_DELAY_S))
    ended = server.run("run", "spec.toml", "--run-dir", run_dir, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert set(landed) >= set(_NEEDED)
    assert results_of(run_dir) == results_of(undisturbed[0])
    assert points_of(run_dir) == points_of(undisturbed[0])


def test_kills_while_checkpoints_are_written_beside_training_change_nothing(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path, chaos_seed: int
) -> None:
    draw, run_dir, beside = random.Random(chaos_seed), tmp_path / "killed", ("--set", "checkpoint.asynchronous=true")
    for place in draw.sample(_NEEDED, len(_NEEDED)):
        _kill_at(server, home, run_dir, (place, draw.randint(1, _MOST_VISITS[place])), *beside)
    ended = server.run("run", "spec.toml", "--run-dir", run_dir, *beside, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert results_of(run_dir) == results_of(undisturbed[0])
    assert points_of(run_dir) == points_of(undisturbed[0])


def test_kills_at_every_other_place_change_nothing_either(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    run_dir, draw = tmp_path / "killed", random.Random(1)
    for place in sorted(set(PLACES) - set(_NEEDED)):
        _kill_at(server, home, run_dir, (place, draw.randint(1, _MOST_VISITS[place])))
    assert server.run("run", "spec.toml", "--run-dir", run_dir, cwd=home).code == 0
    assert results_of(run_dir) == results_of(undisturbed[0])
    assert points_of(run_dir) == points_of(undisturbed[0])


def test_a_kill_before_the_rename_leaves_no_checkpoint_and_what_it_left_is_cleared_away(
    server: Server, home: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "killed"
    _kill_at(server, home, run_dir, ("before_rename", 1))
    (left,) = (run_dir / "checkpoints").iterdir()
    assert left.name.startswith(".tmp-step_000002")
    _kill_at(server, home, run_dir, ("after_rename", 1))
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step_000002"]


def test_a_longer_run_continues_one_that_was_finished(server: Server, home: Path, tmp_path: Path) -> None:
    longer = ("--set", "stages.grpo.run.max_steps=10")
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "short", cwd=home).code == 0
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "short", *longer, cwd=home).code == 0
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "long", *longer, cwd=home).code == 0
    continued, whole = results_of(tmp_path / "short"), results_of(tmp_path / "long")
    assert (continued.weights, continued.transcripts) == (whole.weights, whole.transcripts)
    # The end of the shorter run was evaluated, as the end of a stage always is.
    (extra,) = [row for row in continued.rows if row not in whole.rows]
    assert (extra["stage"], extra["step"], "eval/heldout/greedy" in extra) == ("grpo", 8, True)
    assert [row for row in continued.rows if row is not extra] == whole.rows


def test_a_run_is_not_continued_with_another_learning_rate(
    server: Server, home: Path, undisturbed: tuple[Path, Ended]
) -> None:
    before = snapshot(undisturbed[0])
    ended = server.run("run", "spec.toml", "--run-dir", undisturbed[0], "--set", "stages.grpo.optim.lr=0.5", cwd=home)
    assert (ended.code, ended.out) == (1, "")
    assert "error[RLC0312]" in ended.err
    assert "stages.grpo.optim.lr: 0.01 in the run, 0.5 now" in ended.err
    assert snapshot(undisturbed[0]) == before


def test_a_damaged_checkpoint_is_passed_over_and_the_run_ends_the_same(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    run_dir = tmp_path / "damaged"
    _kill_at(server, home, run_dir, ("backward", 5))
    damaged = newest_checkpoint(run_dir)
    assert damaged.name == "step_000004"
    weights = damaged / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    ended = server.run("run", "spec.toml", "--run-dir", run_dir, cwd=home)
    assert ended.code == 0
    assert "RLC0622: step_000004 is damaged and passed over" in ended.out
    assert weights.read_bytes() == data
    assert results_of(run_dir) == results_of(undisturbed[0])


def test_a_run_without_a_whole_checkpoint_stops_and_touches_nothing(server: Server, home: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "damaged"
    _kill_at(server, home, run_dir, ("backward", 5))
    for checkpoint in (run_dir / "checkpoints").glob("step_*"):
        (checkpoint / "trainer.safetensors").unlink()
    before = snapshot(run_dir)
    ended = server.run("run", "spec.toml", "--run-dir", run_dir, cwd=home)
    assert ended.code == 1
    assert "error[RLC0623]: the run cannot resume: all 2 checkpoints are damaged" in ended.err
    assert "step_000004 is damaged and passed over: trainer.safetensors is missing" in ended.err
    assert snapshot(run_dir) == before


def _kill_at(server: Server, home: Path, run_dir: Path, gate: tuple[str, int], *more: str) -> None:
    process = server.start("run", "spec.toml", "--run-dir", run_dir, *more, cwd=home, gate=gate)
    is_there = process.reaches_its_gate()
    if is_there:
        process.signal(signal.SIGKILL)
    ended = process.wait()
    assert is_there, f"over before {gate}: {ended}"
    assert ended.code == -signal.SIGKILL


def _kill_after(server: Server, home: Path, run_dir: Path, delay_s: float) -> None:
    process = server.start("run", "spec.toml", "--run-dir", run_dir, cwd=home)
    time.sleep(delay_s)
    process.signal(signal.SIGKILL)
    assert process.wait().code in (-signal.SIGKILL, 0)
