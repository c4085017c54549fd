"""RLC0367 (ALGO-02): log-probs of stale tokens are those of the policy that sampled them, or a weight leads there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled

PARTIAL: Changes = {
    "rollout.buffer.partial": "true",
    "rollout.buffer.oversample": "1.5",
    "rollout.buffer.max_staleness_steps": "4",
}
CORRECTED: Changes = {"loss.mismatch.bound": '"truncate"'}
MASKED: Changes = {"rollout.buffer.stale_tokens": '"mask"'}


@pytest.mark.parametrize(
    ("source", "others", "expected"),
    [
        ("rollout", {}, []),
        ("recompute", {}, ["RLC0367"]),
        ("recompute", CORRECTED, []),
        ("recompute", MASKED, []),
        ("recompute", {"loss.rejection.level": '"token"'}, ["RLC0367"]),
        ("current", {}, ["RLC0367"]),
        ("current", MASKED, []),
    ],
)
def test_where_old_log_probs_may_come_from(tmp_path: Path, source: str, others: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, {**PARTIAL, "loss.old_logprobs": f'"{source}"', **others}) == expected


def test_without_a_buffer_nothing_is_stale(tmp_path: Path) -> None:
    assert codes(tmp_path, {"loss.old_logprobs": '"recompute"'}) == []


def test_a_bias_that_is_meant_is_allowed_with_a_reason(tmp_path: Path) -> None:
    allowed: Changes = {"allow": '[{ rule = "RLC0367", why = "as in the run that is repeated" }]'}
    assert codes(tmp_path, {**PARTIAL, "loss.old_logprobs": '"recompute"', **allowed}) == []


def test_the_engines_log_probs_are_not_offered_where_sampling_is_filtered(tmp_path: Path) -> None:
    changes: Changes = {**PARTIAL, "loss.old_logprobs": '"recompute"', "rollout.sampling.top_k": "5"}
    (found,) = compiled(tmp_path, changes).diagnostics
    assert [dict(way.sets) for way in found.help] == [
        {"loss.mismatch.bound": '"truncate"'},
        {"rollout.buffer.stale_tokens": '"mask"'},
    ]
