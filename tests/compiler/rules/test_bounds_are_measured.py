"""RLC0373 (EVAL-04): a bound waits for something that is measured."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes, compiled

SETS: Changes = {"eval.sets": '[{ name = "held", path = "h.jsonl" }]', "eval.samples_per_prompt": "6"}


def test_a_size_that_is_looked_at_is_measured_and_another_is_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {**SETS, "until": '"eval.held.pass@4 > 0.5"'}) == []
    assert codes(tmp_path, {**SETS, "until": '"eval.held.pass@3 > 0.5"'}) == ["RLC0373"]
    assert codes(tmp_path, {**SETS, "until": '"eval.held.pass@3 > 0.5"', "eval.k": "[3]"}) == []


def test_a_mean_is_that_of_all_responses(tmp_path: Path) -> None:
    averaged = {**SETS, "eval.metrics": '["avg"]'}
    assert codes(tmp_path, {**averaged, "until": '"eval.held.avg@6 > 0.5"'}) == []
    assert codes(tmp_path, {**averaged, "until": '"eval.held.avg@4 > 0.5"'}) == ["RLC0373"]


def test_the_fix_is_measured(tmp_path: Path) -> None:
    changes = {**SETS, "until": '"eval.held.pass@64 > 0.5"'}
    (found,) = compiled(tmp_path, changes).diagnostics
    assert codes(tmp_path, {**changes, **dict(found.help[0].sets)}) == []
