"""RLC0372 (EVAL-03): what is voted on is said."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.data import Eval
from tests.support.good_spec import Changes, codes, compiled

SETS: Changes = {
    "eval.sets": '[{ name = "held", path = "h.jsonl" }]',
    "eval.samples_per_prompt": "4",
    "eval.metrics": '["cons"]',
}


def answers(folder: Path, changes: Changes) -> list[object]:
    found = compiled(folder, changes)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    settings = found.plan.experiment.stages[0].eval
    assert isinstance(settings, Eval)
    return [measured.answer for measured in settings.sets]


def test_a_reward_of_the_library_says_what_it_judges(tmp_path: Path) -> None:
    assert answers(tmp_path, SETS) == ["text"]
    assert answers(tmp_path, {**SETS, "reward.name": '"math"'}) == ["boxed"]


def test_a_reward_of_ones_own_does_not(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("def reward(sample):\n    return 1.0\n")
    own = {**SETS, "reward.name": '"judge.py:reward"'}
    assert codes(tmp_path, own) == ["RLC0372"]
    assert answers(tmp_path, {**own, "eval.answer": '"last_number"'}) == ["last_number"]


def test_a_set_has_the_answer_of_its_own_reward(tmp_path: Path) -> None:
    sets = '[{ name = "held", path = "h.jsonl", reward = { name = "math" } }, { name = "b", path = "h.jsonl" }]'
    assert answers(tmp_path, {**SETS, "eval.sets": sets}) == ["boxed", "text"]


def test_every_reward_of_the_library_says_an_answer_that_there_is(tmp_path: Path) -> None:
    for name in ("exact", "math"):
        assert answers(tmp_path, {**SETS, "reward.name": f'"{name}"'})[0] in ("text", "boxed", "last_number")
