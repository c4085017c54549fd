"""The batch identity and the horizon of the schedule, as a spec sees them: derive, check, assume, or name unknowns."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.paths import read
from tests.support.good_spec import SFT, codes, compiled, messages

PROMPTS, GROUP = "rollout.prompts_per_step", "rollout.samples_per_prompt"
BATCH, STEPS = "train.global_batch", "train.steps_per_rollout"
ALL: dict[str, str | None] = {PROMPTS: "6", GROUP: "4", BATCH: "8", STEPS: "3"}
FIELDS = (PROMPTS, GROUP, BATCH, STEPS)


def test_all_four_written_and_right_are_kept(tmp_path: Path) -> None:
    assert codes(tmp_path, ALL) == []


@pytest.mark.parametrize("left_out", FIELDS)
def test_each_field_is_derived_from_the_other_three(tmp_path: Path, left_out: str) -> None:
    found = compiled(tmp_path, {**ALL, left_out: None})
    assert found.plan is not None
    assert found.subject is not None
    assert read(found.plan.experiment.stages[0], left_out) == int(ALL[left_out] or 0)
    origin = found.subject.origins[f"stages.0.{left_out}"]
    assert (origin.kind, origin.by) == ("derived", "batch identity")
    assert set(origin.inputs) == {f"stages.0.{f}" for f in FIELDS if f != left_out}


def test_auto_asks_for_the_same_derivation(tmp_path: Path) -> None:
    one, two = compiled(tmp_path, {**ALL, BATCH: None}), compiled(tmp_path, {**ALL, BATCH: '"auto"'})
    assert one.plan is not None
    assert one.plan == two.plan


@pytest.mark.parametrize("wrong", FIELDS)
def test_four_written_values_that_disagree_are_an_error_and_not_rounded(tmp_path: Path, wrong: str) -> None:
    assert codes(tmp_path, {**ALL, wrong: "5"}) == ["RLC0301"]


def test_a_solution_that_is_no_whole_number_is_an_error(tmp_path: Path) -> None:
    assert messages(tmp_path, {**ALL, BATCH: "7", STEPS: None}) == [
        "no whole number of train.steps_per_rollout makes the batch identity hold: it would be 24/7"
    ]


@pytest.mark.parametrize(("left_out", "value"), [(PROMPTS, 8), (GROUP, 4), (BATCH, 32)])
def test_with_two_unknowns_one_step_is_assumed(tmp_path: Path, left_out: str, value: int) -> None:
    changes: dict[str, str | None] = {PROMPTS: "8", GROUP: "4", BATCH: "32", STEPS: None, left_out: None}
    found = compiled(tmp_path, changes)
    assert found.plan is not None
    assert found.subject is not None
    assert read(found.plan.experiment.stages[0], left_out) == value
    assert read(found.plan.experiment.stages[0], STEPS) == 1
    assert found.subject.origins[f"stages.0.{STEPS}"].kind == "assumed"
    assert found.subject.origins[f"stages.0.{left_out}"].kind == "derived"


def test_a_written_number_of_steps_is_never_replaced_by_the_assumption(tmp_path: Path) -> None:
    assert messages(tmp_path, {PROMPTS: None, GROUP: "4", BATCH: None, STEPS: "3"}) == [
        "rollout.prompts_per_step and train.global_batch are not decided: the batch identity has one unknown too many"
    ]


@pytest.mark.parametrize("pair", [(PROMPTS, GROUP), (PROMPTS, BATCH), (GROUP, BATCH)])
def test_two_unknowns_are_named(tmp_path: Path, pair: tuple[str, str]) -> None:
    (message,) = messages(tmp_path, {**ALL, STEPS: None, **dict.fromkeys(pair)})
    assert message.startswith(f"{pair[0]} and {pair[1]} are not decided")


def test_the_horizon_is_rollouts_times_steps(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {**ALL, "run.max_steps": "10"}).plan
    assert plan is not None
    assert plan.experiment.stages[0].optim.total_steps == 30


def test_the_length_of_a_stage_follows_from_a_written_horizon(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {**ALL, "run.max_steps": None, "optim.total_steps": "30"}).plan
    assert plan is not None
    assert plan.experiment.stages[0].run.max_steps == 10


def test_both_equations_together_fix_what_neither_fixes_alone(tmp_path: Path) -> None:
    found = compiled(tmp_path, {**ALL, STEPS: None, BATCH: None, "run.max_steps": "10", "optim.total_steps": "30"})
    assert found.plan is not None
    stage = found.plan.experiment.stages[0]
    assert (read(stage, STEPS), stage.train.global_batch) == (3, 8)


def test_a_second_equation_that_fixes_the_same_field_must_agree(tmp_path: Path) -> None:
    wrong = {**ALL, STEPS: None, "run.max_steps": "10", "optim.total_steps": "20"}
    assert codes(tmp_path, wrong) == ["RLC0306"]


def test_supervised_steps_are_optimizer_steps(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"run.max_steps": "10"}, base=SFT).plan
    assert plan is not None
    assert plan.experiment.stages[0].optim.total_steps == 10


def test_the_batch_of_a_supervised_stage_is_asked_for_and_never_made_up(tmp_path: Path) -> None:
    assert messages(tmp_path, {BATCH: None}, base=SFT) == ["train.global_batch is not decided"]


def test_stages_are_solved_each_by_itself(tmp_path: Path) -> None:
    stages = '[{ name = "a", train.steps_per_rollout = 1 }, { name = "b", train.steps_per_rollout = 2 }]'
    plan = compiled(tmp_path, {**ALL, STEPS: None, BATCH: None, "stages": stages}).plan
    assert plan is not None
    assert [stage.train.global_batch for stage in plan.experiment.stages] == [24, 12]
