"""The golden files' own rules, with folders that hold one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden_files import COMMAND, Golden, orphans

TEST = "tests/x.py::test_it"


def test_a_text_is_written_with_the_command_that_rewrites_it_and_then_agrees(tmp_path: Path) -> None:
    _golden(tmp_path, update=True)("a/report.txt", "one\ntwo\n")
    assert (tmp_path / "a/report.txt").read_text() == f"# rewritten by: {COMMAND}\none\ntwo\n"
    _golden(tmp_path)("a/report.txt", "one\ntwo\n")


def test_json_is_written_as_it_is(tmp_path: Path) -> None:
    _golden(tmp_path, update=True)("plan.json", "{}")
    assert (tmp_path / "plan.json").read_bytes() == b"{}"


def test_a_difference_fails_with_a_diff_and_the_command(tmp_path: Path) -> None:
    _golden(tmp_path, update=True)("a.txt", "one\ntwo\n")
    with pytest.raises(pytest.fail.Exception) as failure:
        _golden(tmp_path)("a.txt", "one\nthree\n")
    message = str(failure.value)
    assert f"{COMMAND} '{TEST}'" in message
    assert "-two\n+three\n" in message


@pytest.mark.parametrize("text", ["one", "one\r\n", "one\n\n", " one\n"])
def test_white_space_counts(tmp_path: Path, text: str) -> None:
    _golden(tmp_path, update=True)("a.txt", "one\n")
    with pytest.raises(pytest.fail.Exception):
        _golden(tmp_path)("a.txt", text)


def test_a_file_that_is_absent_fails_and_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="no such file"):
        _golden(tmp_path)("a.txt", "one\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="suffix"):
        _golden(tmp_path, update=True)("plan.bin", "x")


def test_files_that_no_test_used_are_orphans(tmp_path: Path) -> None:
    used: set[str] = set()
    golden = Golden(tmp_path, test=TEST, update=True, used=used)
    golden("kept.txt", "x")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "plan.json").write_text("{}")
    assert orphans(tmp_path, used) == ["old/plan.json"]


def _golden(folder: Path, *, update: bool = False) -> Golden:
    return Golden(folder, test=TEST, update=update, used=set())
