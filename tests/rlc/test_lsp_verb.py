"""`rlc lsp` before it serves."""

from __future__ import annotations

import sys

import pytest

from rlc.cli.main import main


def test_an_installation_without_the_extra_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pygls", None)
    assert main(["lsp"]) == 1
    said = capsys.readouterr().err
    assert "error[RLC0661]" in said
    assert "pip install '.[editor]'" in said
