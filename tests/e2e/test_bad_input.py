"""What is wrong with data, rewards, weights or the disk is said with a code and a place, and nothing saved is lost."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.processes import Ended, Server
from tests.support.run_directory import newest_checkpoint, rows_of, snapshot
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        ('{"input": "1+1=", "label": "2"}\n{"input": "1+2="}\n', "RLC0602", "rl.jsonl"),
        ('{"input": "1+1=", "label": "2"}\n{"input": \n', "RLC0603", "rl.jsonl"),
        ("", "RLC0601", "rl.jsonl has no rows"),
        (None, "RLC0601", "rl.jsonl cannot be read: No such file or directory"),
    ],
    ids=["no-label", "no-json", "empty", "missing"],
)
def test_bad_data_of_the_last_stage_is_reported_before_the_first_is_trained(
    server: Server, tmp_path: Path, content: str | None, code: str, place: str
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC + '\n[[stages.data.train]]\npath = "rl.jsonl"\n')
    if content is not None:
        (tmp_path / "rl.jsonl").write_text(content, encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert f"error[{code}]" in ended.err
    assert place in ended.err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_experiment_that_failed_before_its_first_step_can_be_mended_in_place(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    heldout = (tmp_path / "heldout.jsonl").read_text(encoding="utf-8")
    (tmp_path / "heldout.jsonl").write_text("no JSON\n", encoding="utf-8")
    failed = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert failed.code == 1
    assert "error[RLC0603]" in failed.err
    (tmp_path / "heldout.jsonl").write_text(heldout, encoding="utf-8")
    assert server.run("run", spec, "--run-dir", "run", cwd=tmp_path).code == 0


def test_a_resume_that_fails_on_its_data_cuts_nothing_back(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    _killed(server, spec, ("backward", 6))
    before = snapshot(tmp_path / "run")
    assert len(rows_of(tmp_path / "run")) == 6
    (tmp_path / "heldout.jsonl").unlink()
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0601]: heldout.jsonl cannot be read" in ended.err
    assert snapshot(tmp_path / "run") == before


def test_a_run_is_not_continued_on_other_training_data(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    _killed(server, spec, ("backward", 6))
    with (tmp_path / "sums.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"input": "4+4=", "label": "8"}\n')
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0663]: the training data of stage sft is not what it was" in ended.err


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ('raise ValueError("no digits")', "RLC0612", "raised ValueError: no digits, on heldout.jsonl:"),
        ('return float("nan")', "RLC0614", "on heldout.jsonl:"),
        ('return "right"', "RLC0614", "on heldout.jsonl:"),
        ("import time; time.sleep(60)", "RLC0613", "took longer than 0.05 s, on heldout.jsonl:"),
    ],
    ids=["raises", "nan", "text", "slow"],
)
def test_a_bad_reward_is_named_with_the_row_and_checkpoints_stay(
    server: Server, tmp_path: Path, body: str, code: str, message: str
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC.replace("[reward]\n", "[reward]\ntimeout_s = 0.05\n"))
    (tmp_path / "judge.py").write_text(f"def reward(sample):\n    {body}\n", encoding="utf-8")
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert f"error[{code}]: reward judge.py:reward" in ended.err
    assert message in ended.err
    assert newest_checkpoint(tmp_path / "run").name == "step_000002"


def test_a_reward_that_changes_the_working_directory_does_not_move_the_run(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    judge = f"import os\ndef reward(sample):\n    os.chdir({str(tmp_path.parent)!r})\n    return 1.0\n"
    (tmp_path / "judge.py").write_text(judge, encoding="utf-8")
    ended = server.run("--ascii", "run", spec, "--run-dir", "run", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.isascii()
    assert newest_checkpoint(tmp_path / "run").name == "step_000014"


def test_an_absent_directory_of_weights_is_named(server: Server, tmp_path: Path) -> None:
    spec = write_experiment(tmp_path, spec=SPEC.replace('weights = "random"', 'weights = "absent"'))
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0617]" in ended.err
    assert "absent is not a directory" in ended.err


def test_weights_of_another_shape_are_named(server: Server, undisturbed: tuple[Path, Ended], tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to(newest_checkpoint(undisturbed[0]))
    wider = SPEC.replace('weights = "random"', 'weights = "weights"').replace("hidden_size = 16", "hidden_size = 32")
    ended = server.run("run", write_experiment(tmp_path, spec=wider), "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0213]: model.hidden_size is 16 in the checkpoint" in ended.err


def test_weights_that_are_not_what_their_config_says_are_named(
    server: Server, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    shutil.copytree(newest_checkpoint(undisturbed[0]), tmp_path / "weights")
    config = tmp_path / "weights" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 32}))
    wider = SPEC.replace('weights = "random"', 'weights = "weights"').replace("hidden_size = 16", "hidden_size = 32")
    ended = server.run("run", write_experiment(tmp_path, spec=wider), "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0619]" in ended.err
    assert "is [16, 16], but the model needs [16, 32]" in ended.err


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (4, "error[RLC0637]: the policy's logits are not finite"),
        (100, "error[RLC0641]: optimizer step"),
    ],
    ids=["sampling", "training"],
)
def test_numbers_that_are_not_finite_break_the_run_and_what_was_saved_stays(
    server: Server, tmp_path: Path, interval: int, message: str
) -> None:
    # Weight decay multiplies the matrices by 1 - 10 * 10,000 in each step, so a few steps overflow.
    diverging = SPEC.replace("optim.lr = 1e-2", "optim = { lr = 10.0, weight_decay = 1e4 }", 1)
    longer = diverging.replace("run.max_steps = 6", "run.max_steps = 20")
    spec = write_experiment(tmp_path, spec=longer.replace("eval.interval = 4", f"eval.interval = {interval}"))
    ended = server.run("run", spec, "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 4
    assert message in ended.err
    assert newest_checkpoint(tmp_path / "run").name >= "step_000002"


def test_a_full_disk_breaks_the_run_at_a_checkpoint_and_room_lets_it_go_on(
    server: Server, home: Path, tmp_path: Path
) -> None:
    # The plan has some 16.6 kB, the weights 9; the state of the optimizer is larger.
    process = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, file_limit=17_200)
    ended = process.wait()
    assert ended.code == 4
    assert "error[RLC0624]: checkpoint step_000002 cannot be written" in ended.err
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert server.run("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home).code == 0


def test_a_full_disk_breaks_the_run_at_a_row_that_does_not_fit(server: Server, home: Path, tmp_path: Path) -> None:
    process = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, gate=("before_rename", 3))
    assert process.reaches_its_gate()
    process.signal(signal.SIGKILL)
    process.wait()
    size = (tmp_path / "run" / "metrics.jsonl").stat().st_size
    limited = server.start("run", "spec.toml", "--run-dir", tmp_path / "run", cwd=home, file_limit=size - 100)
    ended = limited.wait()
    assert ended.code == 4
    assert "error[RLC0651]: cannot write" in ended.err
    assert newest_checkpoint(tmp_path / "run").name == "step_000004"


def _killed(server: Server, spec: Path, gate: tuple[str, int]) -> None:
    process = server.start("run", spec, "--run-dir", "run", cwd=spec.parent, gate=gate)
    assert process.reaches_its_gate()
    process.signal(signal.SIGKILL)
    process.wait()
