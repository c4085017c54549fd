"""RLC0376: a stop string has a character."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes


@pytest.mark.parametrize(("strings", "expected"), [("[]", []), ('["a", " "]', []), ('["a", ""]', ["RLC0376"])])
def test_an_empty_string_ends_everything(tmp_path: Path, strings: str, expected: list[str]) -> None:
    assert codes(tmp_path, {"rollout.stop_strings": strings}) == expected
