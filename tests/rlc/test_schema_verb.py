"""`rlc schema`: the pages are written, held in step, and their links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rlc.cli.main import main

PROJECT = Path(__file__).parents[2]


def written(folder: Path) -> dict[str, str]:
    assert main(["schema", "--write", "--dir", str(folder)]) == 0
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_without_options_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "An experiment of rlc"


@pytest.mark.parametrize("line", ["--write --check", "--dir pages"])
def test_options_that_would_be_ignored_are_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *line.split()]) == 2
    assert capsys.readouterr().out == ""


def test_what_write_writes_passes_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "rlc.schema.json" in written(tmp_path)
    assert main(["schema", "--check", "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_a_page_edited_by_hand_fails_check_and_is_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = written(tmp_path)
    (tmp_path / "optim.md").write_text("mine\n", encoding="utf-8")
    assert main(["schema", "--check", "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'optim.md'} is not what the schema says: rlc schema --write\n"
    assert written(tmp_path) == before
    assert "1 written" in capsys.readouterr().out


def test_a_page_that_nothing_writes_fails_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    (tmp_path / "old.md").write_text("left over\n", encoding="utf-8")
    assert main(["schema", "--check", "--dir", str(tmp_path)]) == 1
    assert "old.md is written by nothing: delete it" in capsys.readouterr().err


def test_writing_twice_writes_nothing_the_second_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    capsys.readouterr()
    written(tmp_path)
    assert ": 0 written, " in capsys.readouterr().out


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it(tmp_path: Path) -> None:
    pages = written(tmp_path)
    for name, text in pages.items():
        for target, _, anchor in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", text) if name.endswith(".md") else ():
            assert target in pages or (PROJECT / "docs" / "reference" / target).is_file(), f"{name} links to {target}"
            assert not anchor or anchor in anchors(pages[target]), f"{name} links to {target}#{anchor}"


def test_every_page_is_reached_from_the_first(tmp_path: Path) -> None:
    pages = written(tmp_path)
    reached = set(re.findall(r"\]\(([^)#]+)", pages["README.md"]))
    assert set(pages) - reached == {"README.md"}


def test_rows_of_a_table_have_as_many_cells_as_its_head(tmp_path: Path) -> None:
    for name, text in written(tmp_path).items():
        width = 0
        for line in text.splitlines() if name.endswith(".md") else ():
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1 if line.startswith("|") else 0
            assert cells in (0, width) or width == 0, f"{name}: {line}"
            width = cells
