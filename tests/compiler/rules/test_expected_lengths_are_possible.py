"""RLC0410: lengths that are expected can occur."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, ROWS, Changes, codes

LIMIT: Changes = {"rollout.max_response_tokens": "1024"}


@pytest.mark.parametrize(("mean", "expected"), [("1024", []), ("1025", ["RLC0410"])])
def test_a_mean_is_at_most_the_longest(tmp_path: Path, mean: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**LIMIT, "rollout.expected_response_tokens": mean}, base=GPU) == expected


@pytest.mark.parametrize(("p90", "expected"), [("499", ["RLC0410"]), ("500", []), ("1024", []), ("1025", ["RLC0410"])])
def test_nine_in_ten_are_no_shorter_than_the_mean_and_no_longer_than_allowed(
    tmp_path: Path, p90: str, expected: list[str]
) -> None:
    changes: Changes = {"rollout.expected_response_tokens": "500", "rollout.expected_p90_response_tokens": p90}
    assert codes(tmp_path, {**LIMIT, **changes}, base=GPU) == expected


def test_a_tail_needs_a_mean(tmp_path: Path) -> None:
    assert codes(tmp_path, {**LIMIT, "rollout.expected_p90_response_tokens": "500"}, base=GPU) == ["RLC0410"]


@pytest.mark.parametrize(("length", "expected"), [("40960", []), ("40961", ["RLC0410"])])
def test_a_sample_is_no_longer_than_the_model_has_positions(tmp_path: Path, length: str, expected: list[str]) -> None:
    rows: Changes = {"data.expected_sample_tokens": length, "model.max_position_tokens": "40960"}
    assert codes(tmp_path, rows, base=ROWS) == expected
