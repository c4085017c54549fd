"""RLC0334 (ALGO-02): how what is left out counts is said where something is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled

SAID: Changes = {"loss.old_logprobs": '"recompute"', "loss.rejection.left_out": '"skip"'}


@pytest.mark.parametrize(("field", "value"), [("level", '"token"'), ("veto_below", "1e-4")])
def test_beside_a_rejection_it_is_read(tmp_path: Path, field: str, value: str) -> None:
    assert codes(tmp_path, {**SAID, f"loss.rejection.{field}": value}) == []


@pytest.mark.parametrize("more", [{}, {"loss.rejection.max_error": "1.5"}, {"loss.mismatch.bound": '"mask"'}])
def test_without_one_it_is_refused(tmp_path: Path, more: Changes) -> None:
    assert codes(tmp_path, {**SAID, **more}) == ["RLC0334"]


def test_the_fix_leaves_something_out(tmp_path: Path) -> None:
    (found,) = compiled(tmp_path, SAID).diagnostics
    assert codes(tmp_path, {**SAID, **dict(found.help[0].sets)}) == []
