"""RLC0366 (BUF-02): a step with a buffer leaves something over, and it is not dropped at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

PARTIAL: Changes = {"rollout.buffer.partial": "true", "rollout.buffer.oversample": "1.5"}
FILTER: Changes = {"rollout.filter.name": '"nonzero_std"'}


@pytest.mark.parametrize(("bound", "expected"), [("0", ["RLC0366"]), ("1", []), ('"off"', [])])
def test_a_group_may_be_a_step_old(tmp_path: Path, bound: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**PARTIAL, "rollout.buffer.max_staleness_steps": bound}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, ["RLC0366"]),
        (FILTER, ["RLC0366"]),
        ({**FILTER, "rollout.filter.oversample": "1.0"}, ["RLC0366"]),
        ({**FILTER, "rollout.filter.oversample": "1.5"}, []),
        ({"rollout.buffer.replay.frac": "0.5"}, []),
        (PARTIAL, []),
        ({**PARTIAL, "rollout.buffer.selector": '"prioritised"'}, []),
        ({**PARTIAL, "rollout.buffer.selector": '"prioritised"', "rollout.buffer.stale_tokens": '"mask"'}, ["RLC0366"]),
        ({**PARTIAL, "rollout.buffer.stale_tokens": '"mask"'}, []),
    ],
)
def test_something_fills_the_buffer(tmp_path: Path, source: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, {"rollout.buffer.max_staleness_steps": "4", **source}) == expected
