"""RLC0304 (BATCH-05): an algorithm that compares needs two to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled


def test_two_samples_are_a_group_and_one_is_none(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.samples_per_prompt": "2", "rollout.prompts_per_step": "16"}) == []
    assert codes(tmp_path, {"rollout.samples_per_prompt": "1", "rollout.prompts_per_step": "32"}) == ["RLC0304"]


def test_a_group_that_is_derived_counts_as_well(tmp_path: Path) -> None:
    changes: Changes = {"rollout.samples_per_prompt": None, "train.steps_per_rollout": "1"}
    assert codes(tmp_path, {**changes, "rollout.prompts_per_step": "16"}) == []
    assert codes(tmp_path, {**changes, "rollout.prompts_per_step": "32"}) == ["RLC0304"]


@pytest.mark.parametrize(("prompts", "batch", "steps"), [(32, 32, 1), (6, 6, 1), (7, 7, 1), (8, 2, 4), (9, 3, 3)])
def test_the_fix_keeps_the_batch_identity(tmp_path: Path, prompts: int, batch: int, steps: int) -> None:
    changes: Changes = {
        "rollout.prompts_per_step": str(prompts),
        "rollout.samples_per_prompt": "1",
        "train.global_batch": str(batch),
        "train.steps_per_rollout": str(steps),
    }
    (found,) = compiled(tmp_path, changes).diagnostics
    assert codes(tmp_path, {**changes, **dict(found.help[0].sets)}) == []


def test_a_group_of_one_that_keeps_its_reward_needs_no_other(tmp_path: Path) -> None:
    changes: Changes = {"rollout.samples_per_prompt": "1", "rollout.prompts_per_step": "32"}
    assert codes(tmp_path, {**changes, "algo.group_of_one": '"reward"'}) == []
    plus_plus = {**changes, "use": '["//recipes:reinforce_plus_plus"]', "algo.group_baseline": "true"}
    assert codes(tmp_path, plus_plus) == ["RLC0304"]
    assert codes(tmp_path, {**plus_plus, "algo.group_of_one": '"reward"'}) == []
