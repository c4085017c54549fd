"""What a finished run leaves behind, and what a second command on it does."""

from __future__ import annotations

import json
import signal
import struct
import xml.etree.ElementTree
from pathlib import Path

import pytest

from tests.support.processes import Ended, Server
from tests.support.run_directory import points_of, results_of, rows_of, snapshot

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_a_finished_run_holds_all_that_is_promised(home: Path, undisturbed: tuple[Path, Ended]) -> None:
    run_dir, ended = undisturbed
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in run_dir.iterdir()} == {
        ".lock",
        "checkpoints",
        "metrics.jsonl",
        "origin.json",
        "plan.json",
        "spec.toml",
        "summary.json",
        "summary.svg",
        "summary.txt",
        "tensorboard",
        "timeline.jsonl",
        "timeline.svg",
        "transcripts",
    }
    assert (run_dir / "spec.toml").read_bytes() == (home / "spec.toml").read_bytes()
    assert json.loads((run_dir / "plan.json").read_text())["experiment"]["name"] == "tiny"
    assert (run_dir / "summary.txt").read_text().strip() in ended.out
    assert [stage["name"] for stage in json.loads((run_dir / "summary.json").read_text())["stages"]] == ["sft", "grpo"]
    assert xml.etree.ElementTree.parse(run_dir / "summary.svg").getroot().tag.endswith("svg")


def test_every_step_has_one_row_and_evaluations_stand_where_they_were_taken(undisturbed: tuple[Path, Ended]) -> None:
    rows = rows_of(undisturbed[0])
    steps = [(row["stage"], row["step"], row["global_step"]) for row in rows if "train/loss" in row]
    assert steps == [("sft", n, n) for n in range(1, 7)] + [("grpo", n, n + 6) for n in range(1, 9)]
    measured = [row for row in rows if "eval/heldout/accuracy" in row]
    assert all("eval/heldout/greedy" in row for row in measured)
    assert [(row["stage"], row["step"]) for row in measured] == [
        ("sft", 4),
        ("sft", 6),
        ("grpo", 0),
        ("grpo", 3),
        ("grpo", 6),
        ("grpo", 8),
    ]


def test_tensorboard_shows_the_numbers_of_the_metrics(undisturbed: tuple[Path, Ended]) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in rows_of(undisturbed[0]):
        for key in row.keys() - {"stage", "step", "global_step"}:
            expected.setdefault(key, []).append((row["global_step"], _as_float32(row[key])))
    assert points_of(undisturbed[0]) == expected


def _as_float32(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return rounded


def test_each_rollout_leaves_transcripts_that_hold_the_rewards(undisturbed: tuple[Path, Ended]) -> None:
    folder = undisturbed[0] / "transcripts"
    assert sorted(path.name for path in folder.iterdir()) == [f"stage_grpo_step_{n:06d}.jsonl" for n in range(1, 9)]
    for path in folder.iterdir():
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert len(lines) == 4
        for line in lines:
            digits = sum(character.isdigit() for character in line["response"])
            assert line["reward"] == (1.0 if line["response"] == line["label"] else 0.1 * digits)


def test_an_epoch_draws_every_prompt_once(undisturbed: tuple[Path, Ended]) -> None:
    # 20 rows, 4 a step: five steps are an epoch.  The transcripts of a step hold its first group.
    folder = undisturbed[0] / "transcripts"
    first = [json.loads(path.read_text(encoding="utf-8").splitlines()[0]) for path in sorted(folder.iterdir())]
    assert len({line["prompt"] for line in first[:5]}) == 5


def test_a_second_run_says_that_it_is_finished_and_changes_nothing(
    server: Server, home: Path, undisturbed: tuple[Path, Ended]
) -> None:
    before = snapshot(undisturbed[0])
    ended = server.run("run", "spec.toml", "--run-dir", undisturbed[0], cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert "this run had finished before: there was nothing left to do" in ended.out
    assert snapshot(undisturbed[0]) == before


def test_a_lost_summary_is_written_again(server: Server, home: Path, undisturbed: tuple[Path, Ended]) -> None:
    before = snapshot(undisturbed[0])
    (undisturbed[0] / "summary.svg").unlink()
    assert server.run("run", "spec.toml", "--run-dir", undisturbed[0], cwd=home).code == 0
    assert {name: digest for name, (_, digest) in snapshot(undisturbed[0]).items()} == {
        name: digest for name, (_, digest) in before.items()
    }


def test_the_plan_of_a_run_directory_continues_that_run(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    process = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, gate=("rollout", 5))
    assert process.reaches_its_gate()
    process.signal(signal.SIGKILL)
    process.wait()
    assert server.run("run", "run/plan.json", cwd=tmp_path).code == 0
    assert results_of(tmp_path / "run") == results_of(undisturbed[0])


def test_a_plan_that_was_saved_elsewhere_runs_with_a_root_and_gives_what_the_spec_gives(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    (tmp_path / "saved.json").write_bytes((undisturbed[0] / "plan.json").read_bytes())
    lost = server.run("run", "saved.json", cwd=tmp_path)
    assert lost.code == 1
    assert "error[RLC0021]: saved.json names sums.jsonl, which is not below ." in lost.err
    assert not (tmp_path / "runs").exists()
    assert server.run("run", "saved.json", "--root", home, cwd=tmp_path).code == 0
    assert results_of(tmp_path / "runs" / "tiny") == results_of(undisturbed[0])


def test_another_seed_gives_another_run(
    server: Server, home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    short = ("--set", "stages.grpo.run.max_steps=1", "--set", "run.seed=1")
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "run", *short, cwd=home).code == 0
    other, same = rows_of(tmp_path / "run"), rows_of(undisturbed[0])
    assert [row["train/loss"] for row in other[:3]] != [row["train/loss"] for row in same[:3]]
    assert [row["reward/mean"] for row in other if "reward/mean" in row] != [
        row["reward/mean"] for row in same if "reward/mean" in row
    ][:1]


def test_a_second_process_in_the_run_directory_is_refused_until_the_first_is_dead(
    server: Server, home: Path, tmp_path: Path
) -> None:
    first = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, gate=("rollout", 2))
    assert first.reaches_its_gate()
    before = snapshot(tmp_path / "run")
    second = server.run("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home)
    assert second.code == 1
    assert f"error[RLC0662]: {tmp_path / 'run'} is in use: process {first.pid} is running there" in second.err
    assert snapshot(tmp_path / "run") == before
    first.signal(signal.SIGKILL)
    first.wait()
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home).code == 0
