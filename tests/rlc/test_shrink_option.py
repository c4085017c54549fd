"""`--shrink` on the command line: what it prints, and that it goes with the other options."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.support.tiny_experiment import write_experiment


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A two-stage experiment in the current directory."""
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path).relative_to(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_the_page_marks_shrunk_values_and_every_change_is_listed(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "plan", str(spec), "--shrink")
    assert out.startswith("tiny-shrunk%")
    assert "% --shrink" in out
    (line,) = [line for line in out.splitlines() if line.startswith("shrunk: stages.grpo.run.max_steps ")]
    assert line.split() == ["shrunk:", "stages.grpo.run.max_steps", "8", "->", "2", "at", "most", "2"]


def test_nothing_is_listed_without_it(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "shrunk" not in printed(capsys, "plan", str(spec))


def test_a_shrunk_plan_is_saved_and_is_no_golden_of_the_whole(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "plan", str(spec), "--shrink", "-o", "small.json")
    printed(capsys, "plan", str(spec), "--shrink", "--check", "small.json")
    assert main(["plan", str(spec), "--check", "small.json"]) == 3


def test_a_saved_plan_is_not_shrunk(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "plan", str(spec), "-o", "whole.json")
    assert main(["plan", "whole.json", "--shrink"]) == 1
    assert "RLC0017" in capsys.readouterr().err


def test_a_diff_shows_what_shrinking_changed_and_why(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "plan", str(spec), "--shrink", "--diff", str(spec))
    assert "stages.sft.run.max_steps: 6 -> 2" in out
    assert "stages[0].run.max_steps = 2    # 6 in the experiment" in out


def test_explain_says_what_the_value_was(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "explain", "--shrink", str(spec), "stages.grpo.run.max_steps")
    assert "stages[1].run.max_steps = 2    # 8 in the experiment: at most 2" in out
    assert "won over   spec.toml:" in out


def test_check_takes_it(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 spec checked: no errors" in printed(capsys, "check", "--shrink", str(spec))
