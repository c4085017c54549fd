"""RLC0350 (ALGO-02): what compares engine and trainer has the log-probs of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes

ASKED = [
    ("loss.mismatch.bound", '"truncate"'),
    ("loss.rejection.level", '"token"'),
    ("loss.rejection.veto_below", "1e-4"),
    ("loss.rejection.max_error", "1.5"),
]


@pytest.mark.parametrize(("field", "value"), ASKED)
@pytest.mark.parametrize("source", ["rollout", "current"])
def test_a_correction_without_the_trainers_log_probs_is_refused(
    tmp_path: Path, field: str, value: str, source: str
) -> None:
    assert codes(tmp_path, {field: value, "loss.old_logprobs": f'"{source}"'}) == ["RLC0350"]


@pytest.mark.parametrize(("field", "value"), ASKED)
def test_a_correction_with_them_is_fine(tmp_path: Path, field: str, value: str) -> None:
    assert codes(tmp_path, {field: value, "loss.old_logprobs": '"recompute"'}) == []


def test_a_stage_that_asks_for_none_needs_none(tmp_path: Path) -> None:
    assert codes(tmp_path, {"loss.old_logprobs": '"rollout"'}) == []
