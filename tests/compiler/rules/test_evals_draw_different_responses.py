"""RLC0371 (EVAL-02): several responses at temperature 0 are one."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes

SETS: Changes = {"eval.sets": '[{ name = "held", path = "h.jsonl" }]'}


def test_several_responses_need_a_temperature(tmp_path: Path) -> None:
    several = {**SETS, "eval.samples_per_prompt": "2"}
    assert codes(tmp_path, {**several, "eval.sampling.temperature": "0.1"}) == []
    assert codes(tmp_path, {**several, "eval.sampling.temperature": "0"}) == ["RLC0371"]
    assert codes(tmp_path, {**several, "eval.sampling.top_k": "2"}) == []
    assert codes(tmp_path, {**several, "eval.sampling.top_k": "1"}) == ["RLC0371"]


def test_one_greedy_response_is_fine(tmp_path: Path) -> None:
    assert codes(tmp_path, {**SETS, "eval.sampling.temperature": "0"}) == []


def test_a_set_is_judged_by_its_own_distribution(tmp_path: Path) -> None:
    sets = '[{ name = "held", path = "h.jsonl", sampling = { temperature = 0.5 } }]'
    changes: Changes = {"eval.sets": sets, "eval.samples_per_prompt": "2", "eval.sampling.temperature": "0"}
    assert codes(tmp_path, changes) == []
