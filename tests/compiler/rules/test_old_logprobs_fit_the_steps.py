"""RLC0310 (ALGO-02): several steps on one rollout need log-probs that stay where they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled


def test_one_step_may_take_the_policy_as_it_is_and_two_may_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {"loss.old_logprobs": '"current"', "train.global_batch": "32"}) == []
    assert codes(tmp_path, {"loss.old_logprobs": '"current"', "train.global_batch": "16"}) == ["RLC0310"]


@pytest.mark.parametrize("source", ["rollout", "recompute"])
def test_log_probs_that_stay_serve_any_number_of_steps(tmp_path: Path, source: str) -> None:
    assert codes(tmp_path, {"loss.old_logprobs": f'"{source}"', "train.global_batch": "1"}) == []


def test_the_engines_log_probs_are_not_offered_where_sampling_is_filtered(tmp_path: Path) -> None:
    changes: Changes = {"loss.old_logprobs": '"current"', "train.global_batch": "8", "rollout.sampling.top_k": "5"}
    (found,) = compiled(tmp_path, changes).diagnostics
    assert [way.sets for way in found.help] == [(("loss.old_logprobs", '"recompute"'),)]
