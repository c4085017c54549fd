"""`python -m rlc run` itself, in processes that load everything from the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Ended
from tests.support.run_directory import results_of
from tests.support.tiny_experiment import write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_the_command_does_what_the_forked_processes_of_these_tests_do(
    home: Path, undisturbed: tuple[Path, Ended], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "rlc", "run", str(home / "spec.toml"), "--run-dir", str(tmp_path / "run")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert results_of(tmp_path / "run") == results_of(undisturbed[0])


def test_without_torch_the_extra_to_install_is_named_and_no_run_directory_is_made(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    arguments = ["torch", "run", str(spec), "--run-dir", str(tmp_path / "run")]
    command = [sys.executable, "-m", "tests.support.without_module", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "error[RLC0661]: the runtime needs torch, which is not installed" in ended.stderr
    assert "pip install '.[cpu]'" in ended.stderr
    assert not (tmp_path / "run").exists()
