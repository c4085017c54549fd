"""RLC0369 (BUF-04): a replay is at least one group, used no more often than it is kept, and counts in the loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.rollout import Replay
from tests.support.good_spec import Changes, codes

KEPT: Changes = {"rollout.buffer.max_staleness_steps": "2"}


@pytest.mark.parametrize(("frac", "expected"), [("0.2499", ["RLC0369"]), ("0.25", []), ("0.999", [])])
def test_one_of_four_groups_is_the_least(tmp_path: Path, frac: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**KEPT, "rollout.buffer.replay.frac": frac}) == expected


@pytest.mark.parametrize(("uses", "bound", "expected"), [(2, "2", []), (3, "2", ["RLC0369"]), (3, '"off"', [])])
def test_a_group_is_used_once_a_step(tmp_path: Path, uses: int, bound: str, expected: list[str]) -> None:
    replay: Changes = {"rollout.buffer.replay.frac": "0.5", "rollout.buffer.replay.max_uses": str(uses)}
    assert codes(tmp_path, {"rollout.buffer.max_staleness_steps": bound, **replay}) == expected


@pytest.mark.parametrize(("tokens", "expected"), [("train", []), ("mask", ["RLC0369"])])
def test_what_is_replayed_counts(tmp_path: Path, tokens: str, expected: list[str]) -> None:
    partial: Changes = {
        "rollout.buffer.partial": "true",
        "rollout.buffer.oversample": "1.5",
        "rollout.buffer.stale_tokens": f'"{tokens}"',
    }
    assert codes(tmp_path, {**KEPT, **partial, "rollout.buffer.replay.frac": "0.5"}) == expected


@pytest.mark.parametrize(("frac", "prompts", "count"), [(0.29, 100, 29), (0.1, 10, 1), (0.3, 10, 3), (0.49, 2, 0)])
def test_a_share_that_is_whole_in_decimals_is_whole(frac: float, prompts: int, count: int) -> None:
    assert Replay(frac=frac).num_groups(prompts) == count
