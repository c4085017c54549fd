"""RLC0315 (CFG-04): what was written is what the plan holds; only a fault of a pass can break it."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.paths import replaced
from compiler.ir.subject import WrittenValue
from compiler.rules.written_values_are_kept import check
from tests.support.good_spec import compiled


def test_a_plan_holds_what_was_written(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {"optim.lr": "3e-4"}).subject
    assert subject is not None
    assert WrittenValue("stages.0.optim.lr", 3e-4) in subject.written_values
    assert list(check(subject)) == []


def test_a_pass_that_changes_a_written_value_is_caught(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {}).subject
    assert subject is not None
    changed = replaced(subject.experiment, "stages.0.train.global_batch", 64)
    (found,) = check(subject._replace(experiment=changed))
    assert (found.code, found.rule) == ("RLC0315", "CFG-04")
    assert found.message == "train.global_batch was written as 32 and resolved to 64"
    assert [label.span.text for label in found.labels] == ["32"]


def test_auto_is_a_question_and_any_answer_keeps_it(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {"train.steps_per_rollout": '"auto"'}).subject
    assert subject is not None
    assert list(check(subject)) == []
