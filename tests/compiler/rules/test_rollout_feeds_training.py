"""RLC0301 (BATCH-01): prompts x samples = batch x steps, where any one of the four is derived."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.paths import read
from tests.support.good_spec import SFT, Changes, codes, compiled, messages


@pytest.mark.parametrize(
    ("left_out", "path", "derived"),
    [
        ("train.steps_per_rollout", "train.steps_per_rollout", 4),
        ("rollout.prompts_per_step", "rollout.prompts_per_step", 6),
        ("rollout.samples_per_prompt", "rollout.samples_per_prompt", 8),
        ("train.global_batch", "train.global_batch", 12),
    ],
)
def test_any_one_of_the_four_is_derived(tmp_path: Path, left_out: str, path: str, derived: int) -> None:
    four: Changes = {
        "rollout.prompts_per_step": "6",
        "rollout.samples_per_prompt": "8",
        "train.global_batch": "12",
        "train.steps_per_rollout": "4",
    }
    plan = compiled(tmp_path, {**four, left_out: None}).plan
    assert plan is not None
    assert read(plan.experiment.stages[0], path) == derived


def test_the_identity_holds_and_one_sample_more_breaks_it(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.steps_per_rollout": "1"}) == []
    assert codes(tmp_path, {"train.steps_per_rollout": "1", "train.global_batch": "33"}) == ["RLC0301"]
    assert codes(tmp_path, {"train.steps_per_rollout": "1", "train.global_batch": "31"}) == ["RLC0301"]


def test_a_fraction_is_said_and_not_rounded(tmp_path: Path) -> None:
    said = messages(tmp_path, {"train.global_batch": "20"})
    assert said == ["no whole number of train.steps_per_rollout makes the batch identity hold: it would be 8/5"]


def test_a_stage_that_does_not_sample_has_no_such_identity(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": "7"}, base=SFT) == []
