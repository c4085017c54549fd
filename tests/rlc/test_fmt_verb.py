"""`rlc fmt`: which files it writes, what it leaves alone, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_both_syntaxes_of_a_folder_are_laid_out_and_a_second_time_nothing_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.toml").write_text("rlc=1\n")
    Path("b.star").write_text("x=1\n")
    assert main(["fmt"]) == 0
    assert (Path("a.toml").read_text(), Path("b.star").read_text()) == ("rlc = 1\n", "x = 1\n")
    assert capsys.readouterr().err == "a.toml was laid out\nb.star was laid out\n2 files: 2 changed\n"
    assert main(["fmt", "."]) == 0
    assert capsys.readouterr().err == "2 files: 0 changed\n"


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_check_and_diff_write_nothing_and_exit_with_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_text("rlc=1\n")
    assert main(["fmt", option, "a.toml"]) == 1
    assert Path("a.toml").read_text() == "rlc=1\n"
    printed = capsys.readouterr()
    assert printed.err == "a.toml would be laid out\n1 file: 1 would change\n"
    assert printed.out == ("" if option == "--check" else "--- a.toml\n+++ a.toml\n@@ -1 +1 @@\n-rlc=1\n+rlc = 1\n")
    Path("a.toml").write_text("rlc = 1\n")
    assert main(["fmt", option, "a.toml"]) == 0


def test_settings_of_other_tools_in_a_folder_are_left_alone() -> None:
    Path("pyproject.toml").write_text("[tool.x]\na=1\n")
    Path(".hidden").mkdir()
    Path(".hidden/a.toml").write_text("rlc=1\n")
    assert main(["fmt", "."]) == 0
    assert Path("pyproject.toml").read_text() == "[tool.x]\na=1\n"
    assert Path(".hidden/a.toml").read_text() == "rlc=1\n"


def test_a_file_that_is_named_is_laid_out_whatever_it_holds() -> None:
    Path("other.toml").write_text("[tool.x]\na=1\n")
    assert main(["fmt", "other.toml"]) == 0
    assert Path("other.toml").read_text() == "[tool.x]\na = 1\n"


@pytest.mark.parametrize(("name", "text", "code"), [("a.toml", "rlc = \n", "RLC0101"), ("a.star", "x = (\n", "RLC012")])
def test_a_file_with_a_mistake_is_untouched_and_the_others_are_laid_out(
    name: str, text: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text(text)
    Path("b.toml").write_text("rlc=1\n")
    assert main(["fmt", "."]) == 1
    assert Path(name).read_text() == text
    assert Path("b.toml").read_text() == "rlc = 1\n"
    assert f"error[{code}" in capsys.readouterr().err


def test_line_breaks_and_permissions_stay_and_a_byte_order_mark_goes() -> None:
    path = Path("a.toml")
    path.write_bytes(b"\xef\xbb\xbfrlc=1\r\nname='a'\n")
    path.chmod(0o640)
    assert main(["fmt", "a.toml"]) == 0
    assert path.read_bytes() == b'rlc = 1\r\nname = "a"\r\n'
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in Path().iterdir()] == ["a.toml"]


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "real.toml").write_text("rlc=1\n")
    Path("link.toml").symlink_to("real.toml")
    assert main(["fmt", "link.toml"]) == 0
    assert Path("link.toml").is_symlink()
    assert (folder / "real.toml").read_text() == "rlc = 1\n"


def test_an_empty_marker_is_fine() -> None:
    Path("rlc.toml").write_text("")
    assert main(["fmt", "."]) == 0


def test_a_missing_file_is_a_diagnostic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "none.toml"]) == 1
    assert "error[RLC0001]" in capsys.readouterr().err
