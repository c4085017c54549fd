"""Equations: solved exactly, and silent about what a stage does not have."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.equations import BATCH_IDENTITY, EQUATIONS, OPTIMIZER_HORIZON, Factors

PROMPTS, GROUP = BATCH_IDENTITY.left
BATCH, STEPS = BATCH_IDENTITY.right
FACTOR = st.integers(1, 10**6)


def test_the_batch_identity_is_the_first_equation_and_reads_as_it_is_written_in_the_language() -> None:
    assert EQUATIONS[0] is BATCH_IDENTITY
    assert str(BATCH_IDENTITY) == (
        "rollout.prompts_per_step x rollout.samples_per_prompt = train.global_batch x train.steps_per_rollout"
    )
    assert BATCH_IDENTITY.assume == ("train.steps_per_rollout",)


@given(FACTOR, FACTOR, FACTOR, FACTOR)
def test_solving_for_any_one_field_reproduces_it(a: int, b: int, c: int, d: int) -> None:
    values = {PROMPTS: a * b, GROUP: c * d, BATCH: a * c, STEPS: b * d}
    for field in BATCH_IDENTITY.fields:
        assert BATCH_IDENTITY.solve(field, {**values, field: None}).whole == values[field]
    assert BATCH_IDENTITY.sides(values) == (a * b * c * d, a * b * c * d)


@given(FACTOR, FACTOR, FACTOR)
def test_a_solution_is_exact_also_where_it_is_no_whole_number(prompts: int, group: int, batch: int) -> None:
    solution = BATCH_IDENTITY.solve(STEPS, {PROMPTS: prompts, GROUP: group, BATCH: batch, STEPS: None})
    exact = Fraction(prompts * group, batch)
    assert (solution.numerator, solution.denominator, str(solution)) == (exact.numerator, exact.denominator, str(exact))
    assert solution.is_below_one == (exact < 1)


def test_a_quotient_beyond_the_precision_of_a_float_is_exact() -> None:
    values = {PROMPTS: 10**17 + 1, GROUP: 10**17 + 3, BATCH: 10**17 + 3, STEPS: None}
    assert BATCH_IDENTITY.solve(STEPS, values).whole == 10**17 + 1


@pytest.mark.parametrize("unknown", [(), (STEPS,), (PROMPTS, BATCH), (PROMPTS, GROUP, BATCH, STEPS)])
def test_unknowns_are_those_fields_that_are_there_and_not_fixed(unknown: tuple[str, ...]) -> None:
    values = {f: None if f in unknown else 4 for f in BATCH_IDENTITY.fields}
    assert BATCH_IDENTITY.unknowns(values) == unknown


def test_a_field_that_a_stage_does_not_have_counts_as_one() -> None:
    values = {"run.max_steps": 40, "optim.total_steps": None}
    assert OPTIMIZER_HORIZON.unknowns(values) == ("optim.total_steps",)
    assert OPTIMIZER_HORIZON.solve("optim.total_steps", values).whole == 40


def test_where_a_stage_has_nothing_of_a_side_the_equation_says_nothing() -> None:
    assert BATCH_IDENTITY.unknowns({"train.global_batch": None}) == ()


def test_sides_of_an_open_equation_are_an_error_and_no_guess() -> None:
    with pytest.raises(ValueError, match=r"train\.steps_per_rollout is not known"):
        BATCH_IDENTITY.sides({PROMPTS: 4, GROUP: 8, BATCH: 32, STEPS: None})


UPDATES = {"run.max_steps": 30, "train.steps_per_rollout": 2, "train.epochs_per_rollout": 3, "optim.total_steps": 150}


@pytest.mark.parametrize("field", UPDATES)
def test_the_horizon_begins_behind_the_warm_up_of_a_critic(field: str) -> None:
    values: Factors = {**UPDATES, "critic.warmup_rollouts": 5}
    assert OPTIMIZER_HORIZON.sides(values) == (150, 150)
    assert OPTIMIZER_HORIZON.solve(field, {**values, field: None}).whole == UPDATES[field]


def test_the_horizon_says_what_is_taken_off() -> None:
    assert str(OPTIMIZER_HORIZON).startswith("(run.max_steps - critic.warmup_rollouts) x train.steps_per_rollout x ")
