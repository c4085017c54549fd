"""RLC0365 (BUF-01): a partial rollout has more prompts under way than a step takes, and one number that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

PARTIAL: Changes = {"rollout.buffer.partial": "true", "rollout.buffer.max_staleness_steps": "4"}


@pytest.mark.parametrize(("factor", "expected"), [(None, ["RLC0365"]), ("1.0", ["RLC0365"]), ("1.01", [])])
def test_more_than_are_wanted_are_under_way(tmp_path: Path, factor: str | None, expected: list[str]) -> None:
    assert codes(tmp_path, {**PARTIAL, "rollout.buffer.oversample": factor}) == expected


@pytest.mark.parametrize(("factor", "expected"), [(None, []), ("1.0", []), ("2.0", ["RLC0365"])])
def test_the_filter_does_not_say_it_again(tmp_path: Path, factor: str | None, expected: list[str]) -> None:
    filtered: Changes = {"rollout.filter.name": '"nonzero_std"', "rollout.filter.oversample": factor}
    assert codes(tmp_path, {**PARTIAL, "rollout.buffer.oversample": "1.5", **filtered}) == expected
