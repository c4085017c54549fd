"""What the command line says of itself."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from rlc.cli.main import main


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rlc {version('rlc')}\n"


@pytest.mark.parametrize("line", [["--help"], ["new", "--help"]])
def test_every_verb_is_told_in_a_whole_sentence(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 0
    verbs = re.findall(r"^  (\w+) {2,}(.*)$", capsys.readouterr().out.partition("Commands:\n")[2], re.MULTILINE)
    assert len(verbs) >= 3
    assert [verb for verb, told in verbs if not told.endswith(".") or told.endswith("...")] == []
