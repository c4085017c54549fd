"""RLC0308 (TOK-02): a token budget holds the longest sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import SFT, Changes, codes, compiled


def test_a_budget_of_exactly_the_longest_sample_is_enough(tmp_path: Path) -> None:
    lengths: Changes = {"rollout.max_prompt_tokens": "64", "rollout.max_response_tokens": "16"}
    assert codes(tmp_path, {**lengths, "train.packing.tokens": "80"}) == []
    assert codes(tmp_path, {**lengths, "train.packing.tokens": "79"}) == ["RLC0308"]


def test_without_limits_the_longest_sample_is_what_the_model_can_hold(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.packing.tokens": "512"}) == []
    assert codes(tmp_path, {"train.packing.tokens": "511"}) == ["RLC0308"]


@pytest.mark.parametrize("budget", [1, 64, 65, 79])
def test_every_fix_fits(tmp_path: Path, budget: int) -> None:
    changes: Changes = {"rollout.max_prompt_tokens": "64", "train.packing.tokens": str(budget)}
    (found,) = compiled(tmp_path, changes).diagnostics
    for way in found.help:
        assert codes(tmp_path, {**changes, **dict(way.sets)}) == []


def test_how_long_demonstrations_are_only_the_data_says(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.packing.tokens": "64"}, base=SFT) == []
