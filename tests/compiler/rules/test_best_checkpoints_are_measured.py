"""RLC0377 (CKPT-03): what says which checkpoints are best is measured when they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled

BEST: Changes = {
    "eval.sets": '[{ name = "held", path = "h.jsonl" }]',
    "eval.samples_per_prompt": "4",
    "eval.interval": "2",
    "checkpoint.interval": "2",
    "checkpoint.keep_latest": "1",
    "checkpoint.keep_best": "1",
    "checkpoint.best_by": '"eval.held.accuracy"',
}


@pytest.mark.parametrize("metric", ["accuracy", "greedy", "pass@4"])
def test_what_is_measured_says_what_is_best(metric: str, tmp_path: Path) -> None:
    assert codes(tmp_path, {**BEST, "checkpoint.best_by": f'"eval.held.{metric}"'}) == []


@pytest.mark.parametrize("metric", ["eval.held.pass@3", "eval.other.accuracy", "eval/held/accuracy", "accuracy"])
def test_what_is_not_measured_does_not(metric: str, tmp_path: Path) -> None:
    assert codes(tmp_path, {**BEST, "checkpoint.best_by": f'"{metric}"'}) == ["RLC0377"]


def test_without_greedy_responses_their_accuracy_is_not_measured(tmp_path: Path) -> None:
    changes = {**BEST, "checkpoint.best_by": '"eval.held.greedy"', "eval.greedy": "false"}
    assert codes(tmp_path, changes) == ["RLC0377"]


@pytest.mark.parametrize(("saved", "measured", "is_best"), [("2", "4", True), ("3", "2", True), ("7", "3", False)])
def test_some_step_before_the_last_is_saved_and_measured(
    saved: str, measured: str, is_best: bool, tmp_path: Path
) -> None:
    changes = {**BEST, "checkpoint.interval": saved, "eval.interval": measured, "run.max_steps": "10"}
    assert codes(tmp_path, changes) == ([] if is_best else ["RLC0377"])


@pytest.mark.parametrize("missing", ["checkpoint.keep_best", "checkpoint.best_by", "checkpoint.keep_latest"])
def test_the_fix_of_what_is_missing_is_whole(missing: str, tmp_path: Path) -> None:
    changes = {name: value for name, value in BEST.items() if name != missing}
    (found,) = compiled(tmp_path, changes).diagnostics
    assert found.code == "RLC0377"
    assert codes(tmp_path, {**changes, **dict(found.help[0].sets)}) == []
