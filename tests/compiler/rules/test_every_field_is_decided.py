"""RLC0313: what a spec leaves out has a default, follows from the rest, or is asked for."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes, messages


def test_one_unknown_is_derived_and_two_are_named(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.prompts_per_step": None}) == []
    assert messages(tmp_path, {"rollout.prompts_per_step": None, "rollout.samples_per_prompt": None}) == [
        "rollout.prompts_per_step and rollout.samples_per_prompt are not decided: "
        "the batch identity has one unknown too many"
    ]


def test_two_equations_with_two_unknowns_are_two_errors(tmp_path: Path) -> None:
    changes: Changes = {"rollout.prompts_per_step": None, "train.global_batch": None, "run.max_steps": None}
    assert codes(tmp_path, changes) == ["RLC0313", "RLC0313"]


def test_what_one_equation_cannot_solve_is_not_asked_for_by_another(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": "20"}) == ["RLC0301"]
    assert codes(tmp_path, {"train.global_batch": "64"}) == ["RLC0303"]
