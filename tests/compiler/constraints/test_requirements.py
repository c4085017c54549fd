"""`require`: equations solved for their one unknown, and everything else checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.compiler.constraints.small_specs import field, outcome, requiring
from tests.compiler.constraints.test_references import of_stages
from tests.support.good_spec import Changes, codes, compiled, messages


@pytest.mark.parametrize(
    ("statement", "open_field", "value"),
    [
        ("rollout.samples_per_prompt == 2 * rollout.prompts_per_step", "rollout.samples_per_prompt", 8),
        ("4 * rollout.samples_per_prompt == 24", "rollout.samples_per_prompt", 6),
        ("rollout.samples_per_prompt + 3 == run.max_steps", "rollout.samples_per_prompt", 7),
        ("train.global_batch / rollout.samples_per_prompt == 4", "rollout.samples_per_prompt", 8),
        ("rollout.samples_per_prompt * rollout.samples_per_prompt == 16", "rollout.samples_per_prompt", 4),
        ("0.5 * train.global_batch == rollout.prompts_per_step", "train.global_batch", 8),
        ("rollout.concurrency * 2 == run.max_steps", "rollout.concurrency", 5),
        ("train.packing.tokens == 3 * rollout.max_context_tokens", "train.packing.tokens", 1536),
        ("run.max_steps == 10 and optim.total_steps == run.max_steps + 10", "optim.total_steps", 20),
    ],
)
def test_an_equation_decides_its_one_unknown(tmp_path: Path, statement: str, open_field: str, value: int) -> None:
    changes: Changes = {open_field: None, "require": requiring(statement)}
    if open_field == "rollout.samples_per_prompt" and "global_batch" not in statement:
        changes["train.global_batch"] = None
    if open_field == "train.global_batch":
        changes["rollout.samples_per_prompt"] = "6"
    if open_field == "optim.total_steps":
        changes["train.steps_per_rollout"] = "2"
        changes["train.global_batch"] = "16"
    assert field(outcome(tmp_path, changes), open_field) == value


def test_several_equations_are_solved_one_after_the_other(tmp_path: Path) -> None:
    changes: Changes = {
        "rollout.prompts_per_step": None,
        "rollout.samples_per_prompt": None,
        "train.global_batch": None,
        "require": requiring(
            "train.global_batch == rollout.prompts_per_step * rollout.samples_per_prompt",
            "rollout.prompts_per_step == rollout.samples_per_prompt - 2",
            "rollout.samples_per_prompt == run.max_steps",
        ),
    }
    found = outcome(tmp_path, changes)
    names = ("rollout.prompts_per_step", "rollout.samples_per_prompt", "train.global_batch", "train.steps_per_rollout")
    assert [field(found, name) for name in names] == [8, 10, 80, 1]


def test_an_equation_comes_before_an_assumption(tmp_path: Path) -> None:
    changes: Changes = {
        "train.global_batch": None,
        "require": requiring("train.steps_per_rollout == rollout.prompts_per_step"),
    }
    found = outcome(tmp_path, changes)
    assert (field(found, "train.steps_per_rollout"), field(found, "train.global_batch")) == (4, 8)


def test_the_origin_of_what_was_solved_is_the_requirement(tmp_path: Path) -> None:
    statement = "rollout.samples_per_prompt == 2 * rollout.prompts_per_step"
    changes: Changes = {"rollout.samples_per_prompt": None, "train.global_batch": None, "require": requiring(statement)}
    found = outcome(tmp_path, changes)
    assert found.subject is not None
    origin = found.subject.origins["stages.0.rollout.samples_per_prompt"]
    assert (origin.kind, origin.by) == ("derived", statement)
    assert origin.inputs == ("stages.0.rollout.prompts_per_step",)
    assert origin.span is not None
    assert origin.span.text == f'"{statement}"'


def test_what_the_user_wrote_is_never_changed(tmp_path: Path) -> None:
    changes: Changes = {"require": requiring("rollout.samples_per_prompt == 4 * rollout.prompts_per_step")}
    found = compiled(tmp_path, changes)
    assert [d.code for d in found.diagnostics] == ["RLC0320"]
    assert (field(found, "rollout.samples_per_prompt"), field(found, "rollout.prompts_per_step")) == (8, 4)


def test_a_field_that_cannot_be_auto_is_not_solved_for(tmp_path: Path) -> None:
    changes: Changes = {"require": requiring("optim.warmup_steps == run.max_steps // 2")}
    assert codes(tmp_path, changes) == ["RLC0320"]


def test_requirements_of_recipes_add_up(tmp_path: Path) -> None:
    (tmp_path / "even.toml").write_text(f"require = {requiring('rollout.samples_per_prompt % 16 == 0')}\n")
    changes: Changes = {"use": '["//recipes:grpo", "even.toml"]', "require": requiring("optim.lr > 1")}
    assert codes(tmp_path, changes) == ["RLC0320", "RLC0320"]


def test_a_requirement_says_nothing_about_stages_that_lack_its_fields(tmp_path: Path) -> None:
    stated = f"require = {requiring('rollout.prompts_per_step == 4', 'optim.lr < 1')}"
    found = of_stages(tmp_path, shared=stated, second="rollout.samples_per_prompt = 4")
    assert found.plan is not None, found.diagnostics


def test_a_requirement_is_made_of_each_stage_that_has_its_fields(tmp_path: Path) -> None:
    stated = f"require = {requiring('train.global_batch == 16')}"
    found = of_stages(tmp_path, shared=stated, second="rollout.samples_per_prompt = 8")
    assert found.plan is not None, found.diagnostics
    assert [stage.train.global_batch for stage in found.plan.experiment.stages] == [16, 16]
    wrong = of_stages(tmp_path, shared=stated, second="rollout.samples_per_prompt = 8\ntrain.global_batch = 32")
    assert [d.message for d in wrong.diagnostics] == ["a requirement does not hold in stage rl: because"]


def test_a_requirement_of_a_recipe_that_a_stage_uses_is_about_that_stage(tmp_path: Path) -> None:
    (tmp_path / "big.toml").write_text(f"require = {requiring('train.global_batch >= 32')}\n")
    found = of_stages(tmp_path, second='use = ["//recipes:grpo", "big.toml"]')
    text = (tmp_path / "spec.toml").read_text().replace('use = ["//recipes:grpo"]\n', "", 1)
    (tmp_path / "spec.toml").write_text(text.replace("rollout.max", "rollout.samples_per_prompt = 8\nrollout.max"))
    found = compile_spec(tmp_path / "spec.toml", scan())
    assert found.plan is not None, found.diagnostics


def test_a_mistake_in_a_requirement_is_said_once(tmp_path: Path) -> None:
    found = of_stages(
        tmp_path, shared=f"require = {requiring('train.global_bath == 16')}", second="rollout.samples_per_prompt = 8"
    )
    assert [d.code for d in found.diagnostics] == ["RLC0221"]


def test_a_requirement_about_a_broken_field_is_not_judged(tmp_path: Path) -> None:
    changes: Changes = {"optim.lr": '"fast"', "require": requiring("optim.lr < 0.1")}
    assert codes(tmp_path, changes) == ["RLC0203"]


def test_what_was_made_small_need_not_be_what_the_spec_requires(tmp_path: Path) -> None:
    outcome(tmp_path, {"require": requiring("train.global_batch >= 32", "run.max_steps == 10")})
    small = compile_spec(tmp_path / "spec.toml", scan(), shrink=True)
    assert small.plan is not None, small.diagnostics


def test_a_shrunk_experiment_keeps_its_references(tmp_path: Path) -> None:
    outcome(tmp_path, {"optim.warmup_steps": '"${run.max_steps // 5}"'})
    small = compile_spec(tmp_path / "spec.toml", scan(), shrink=True)
    assert small.plan is not None, small.diagnostics


@settings(max_examples=40, deadline=None)
@given(a=st.integers(1, 6), b=st.integers(-5, 5), prompts=st.integers(1, 9), is_swapped=st.booleans())
def test_a_solution_put_back_satisfies_the_equation(
    tmp_path_factory: pytest.TempPathFactory, a: int, b: int, prompts: int, *, is_swapped: bool
) -> None:
    sides = [f"{a} * rollout.samples_per_prompt + {b}", "rollout.prompts_per_step * 7"]
    statement = " == ".join(reversed(sides) if is_swapped else sides)
    changes: Changes = {
        "rollout.prompts_per_step": str(prompts),
        "rollout.samples_per_prompt": None,
        "train.global_batch": None,
        "require": requiring(statement),
    }
    found = compiled(tmp_path_factory.mktemp("spec"), changes)
    whole, rest = divmod(prompts * 7 - b, a)
    if rest or whole < 1:
        assert "RLC0322" in [d.code for d in found.diagnostics]
    elif whole > 1:  # a group of one has no advantage
        assert found.plan is not None, found.diagnostics
        assert field(found, "rollout.samples_per_prompt") == whole


@settings(max_examples=40, deadline=None)
@given(
    group=st.integers(2, 40),
    statement=st.sampled_from(
        [
            "rollout.samples_per_prompt % {n} == 0",
            "rollout.samples_per_prompt >= {n}",
            "rollout.samples_per_prompt < {n}",
            "rollout.samples_per_prompt * {n} == 3 * rollout.prompts_per_step * {n}",
            "rollout.samples_per_prompt // 2 > {n}",
            "rollout.samples_per_prompt * rollout.samples_per_prompt > {n} * 10",
        ]
    ),
    n=st.integers(2, 12),
)
def test_a_way_out_makes_the_requirement_hold(
    tmp_path_factory: pytest.TempPathFactory, group: int, statement: str, n: int
) -> None:
    folder = tmp_path_factory.mktemp("spec")
    changes: Changes = {
        "rollout.samples_per_prompt": str(group),
        "train.global_batch": None,
        "require": requiring(statement.format(n=n)),
    }
    found = compiled(folder, changes)
    if found.plan is not None:
        return
    (fault,) = found.diagnostics
    assert fault.code == "RLC0320"
    assert 1 <= len(fault.help) <= 3 or "<" in statement
    for way in fault.help:
        mended = compile_spec(folder / "spec.toml", scan(), overrides=[f"{path}={value}" for path, value in way.sets])
        assert mended.plan is not None, mended.diagnostics


def test_the_smallest_and_the_largest_value_that_will_do_are_offered(tmp_path: Path) -> None:
    changes: Changes = {
        "rollout.samples_per_prompt": "9",
        "train.global_batch": None,
        "require": requiring("rollout.samples_per_prompt < 3 or rollout.samples_per_prompt > 60"),
    }
    (fault,) = compiled(tmp_path, changes).diagnostics
    assert [way.sets for way in fault.help] == [
        (("rollout.samples_per_prompt", "2"),),
        (("rollout.samples_per_prompt", "61"),),
    ]


def test_the_users_own_fields_are_changed_last(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("optim.warmup_steps = 3\n")
    changes: Changes = {
        "use": '["//recipes:grpo", "base.toml"]',
        "require": requiring("run.max_steps == 2 * optim.warmup_steps"),
    }
    (fault,) = compiled(tmp_path, changes).diagnostics
    assert [way.sets[0][0] for way in fault.help] == ["optim.warmup_steps", "run.max_steps"]


def test_a_way_out_of_a_shared_table_changes_all_its_stages(tmp_path: Path) -> None:
    stated = f"optim.warmup_steps = 3\nrequire = {requiring('optim.warmup_steps < 3')}"
    found = of_stages(tmp_path, shared=stated, second="rollout.samples_per_prompt = 8")
    assert [way.sets for d in found.diagnostics for way in d.help] == [(("optim.warmup_steps", "2"),)] * 2


def test_hostile_requirements_end_in_diagnostics(tmp_path: Path) -> None:
    for text in ("((((" * 200, "1 << 99999", "'a' * 99999999", "[" * 300, "x" * 10_000, "1 + " * 3000 + "1", ""):
        found = codes(tmp_path, {"require": requiring(text)})
        assert found, text[:20]
        assert messages(tmp_path, {"require": requiring(text)})
