"""RLC0368 (BUF-03): what waits in a buffer needs no other group and no other response of its step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes

PARTIAL: Changes = {
    "rollout.buffer.partial": "true",
    "rollout.buffer.oversample": "1.5",
    "rollout.buffer.max_staleness_steps": "4",
}


@pytest.mark.parametrize(("algorithm", "expected"), [("remax", ["RLC0368"]), ("rloo", []), ("gdpo", [])])
def test_a_group_is_compared_with_no_greedy_response(tmp_path: Path, algorithm: str, expected: list[str]) -> None:
    several: Changes = {
        "reward.name": '"weighted_sum"',
        "reward.terms": '[{ name = "exact" }, { name = "f1" }]',
    }
    changes: Changes = {"use": f'["//recipes:{algorithm}"]', "loss.old_logprobs": '"rollout"', **PARTIAL}
    assert codes(tmp_path, {**changes, **(several if algorithm == "gdpo" else {})}) == expected


@pytest.mark.parametrize(("level", "expected"), [("sample", []), ("group", []), ("batch", ["RLC0368"])])
def test_a_group_is_judged_by_itself(tmp_path: Path, level: str, expected: list[str]) -> None:
    (tmp_path / "judge.py").write_text(f"def judge({level}):\n    return 0.0\n", encoding="utf-8")
    assert codes(tmp_path, {**PARTIAL, "reward.name": '"judge.py:judge"'}) == expected
    assert codes(tmp_path, {"reward.name": '"judge.py:judge"'}) == []


def test_an_asynchronous_loop_has_a_queue_and_no_buffer(tmp_path: Path) -> None:
    split: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"'}
    without = codes(tmp_path, split, base=GPU)
    assert sorted(codes(tmp_path, {**split, **PARTIAL}, base=GPU)) == sorted([*without, "RLC0368"])
