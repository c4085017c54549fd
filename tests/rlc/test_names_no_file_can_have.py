"""Names on the command line that the file system refuses: too long, or links that lead in a circle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from rlc.cli.main import main
from tests.support.tiny_experiment import write_experiment

TOO_LONG = "x" * 300


@pytest.fixture(autouse=True)
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    return write_experiment(tmp_path).relative_to(tmp_path)


@pytest.mark.parametrize("name", [TOO_LONG, "circle/x", "circle"])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("check NAME", "RLC000"),
        ("fmt NAME", "RLC000"),
        ("plan NAME.toml", "RLC000"),
        ("plan SPEC --policy NAME.star", "RLC000"),
        ("plan SPEC --check NAME.json", "RLC0020"),
        ("run SPEC --run-dir NAME", "RLC0018"),
        ("run NAME.json", "RLC0020"),
    ],
)
def test_a_name_that_the_file_system_refuses_is_a_diagnostic(
    line: str, code: str, name: str, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("NAME", name).replace("SPEC", str(spec)) for word in line.split()]
    assert main(words) == 1
    assert f"error[{code}" in capsys.readouterr().err


def test_a_plan_is_not_written_under_a_name_that_is_too_long(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(spec), "-o", TOO_LONG]) == 1
    assert "error[RLC0022]" in capsys.readouterr().err


def test_a_saved_plan_whose_files_have_no_usable_names_is_a_diagnostic(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = compile_spec(spec, scan(), overrides=(f'data.train=[{{path="{TOO_LONG}"}}]',)).plan
    assert plan is not None
    Path("plan.json").write_text(plan.to_text())
    assert main(["run", "plan.json"]) == 1
    assert "error[RLC0021]" in capsys.readouterr().err
    Path("origin.json").write_text(json.dumps({"root": "circle"}))
    assert main(["run", "plan.json"]) == 1
    assert "error[RLC0021]" in capsys.readouterr().err
