"""RLC0311 (ALGO-03): what the trainer cannot repeat is not compared with what it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled


@pytest.mark.parametrize("temperature", ["0.01", "0.7", "1", "2"])
def test_any_temperature_above_zero_is_applied_on_both_sides(tmp_path: Path, temperature: str) -> None:
    assert codes(tmp_path, {"rollout.sampling.temperature": temperature}) == []


def test_the_most_likely_token_alone_teaches_nothing(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.sampling.temperature": "0"}) == ["RLC0311"]


@pytest.mark.parametrize(("field", "filtered", "whole"), [("top_p", "0.999", "1"), ("top_k", "50", '"off"')])
def test_filters_are_refused_unless_log_probs_are_recomputed(
    tmp_path: Path, field: str, filtered: str, whole: str
) -> None:
    path = f"rollout.sampling.{field}"
    assert codes(tmp_path, {path: whole}) == []
    assert codes(tmp_path, {path: filtered}) == ["RLC0311"]
    assert codes(tmp_path, {path: filtered, "loss.old_logprobs": '"recompute"'}) == []


def test_the_way_out_beside_a_buffer_is_no_way_into_another_fault(tmp_path: Path) -> None:
    buffered: Changes = {
        "rollout.buffer.partial": "true",
        "rollout.buffer.oversample": "1.5",
        "rollout.buffer.max_staleness_steps": "2",
        "rollout.sampling.top_p": "0.9",
    }
    (found,) = compiled(tmp_path, buffered).diagnostics
    assert found.code == "RLC0311"
    assert codes(tmp_path, {**buffered, **dict(found.help[1].sets)}) == []


def test_evaluation_may_filter_as_it_likes(tmp_path: Path) -> None:
    evaluated: Changes = {"eval.sets": '[{ name = "heldout", path = "heldout.jsonl" }]'}
    assert codes(tmp_path, {**evaluated, "eval.sampling": "{ top_p = 0.9, top_k = 5, temperature = 0 }"}) == []
