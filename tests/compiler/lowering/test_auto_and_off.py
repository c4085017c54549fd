""" "auto" asks for a derivation, "off" unsets what a recipe set, and neither is a value where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import OFF, Auto
from compiler.ir.paths import leaves, read
from compiler.ir.spec_tables import spec_keys
from rlc.catalogue import scan
from tests.support.good_spec import GRPO, Changes, codes, compiled


def value_of(folder: Path, path: str, changes: Changes) -> object:
    found = compiled(folder, changes)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return read(found.plan.experiment.stages[0], path)


def recipe(folder: Path, text: str) -> None:
    (folder / "own.toml").write_text(f'use = ["//recipes:grpo"]\n{text}\n')


USING: Changes = {"use": '["own.toml"]'}


def test_off_unsets_what_a_recipe_set(tmp_path: Path) -> None:
    recipe(tmp_path, "rollout.sampling.top_k = 50\nloss.kl.estimator = 'k3'")
    changes: Changes = {**USING, "rollout.sampling.top_k": '"off"', "loss.kl.estimator": '"off"'}
    found = compiled(tmp_path, changes)
    assert found.plan is not None
    stage = found.plan.experiment.stages[0]
    assert (read(stage, "rollout.sampling.top_k"), read(stage, "loss.kl.estimator"), stage.reference) == (OFF, OFF, OFF)


def test_off_is_a_value_where_the_default_is_another(tmp_path: Path) -> None:
    assert value_of(tmp_path, "optim.clip_grad_norm", {}) == 1.0
    assert value_of(tmp_path, "optim.clip_grad_norm", {"optim.clip_grad_norm": '"off"'}) is OFF


def test_off_brings_the_default_back_where_there_is_no_such_value(tmp_path: Path) -> None:
    assert value_of(tmp_path, "optim.beta2", {}) == 0.95
    assert value_of(tmp_path, "optim.beta2", {"optim.beta2": '"off"'}) == 0.999


def test_off_is_kept_as_a_written_value(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {"optim.clip_grad_norm": '"off"'}).subject
    assert subject is not None
    assert ("stages.0.optim.clip_grad_norm", OFF) in subject.written_values
    assert subject.origins["stages.0.optim.clip_grad_norm"].kind == "spec"


@pytest.mark.parametrize("field", ["rollout.prompts_per_step", "optim.lr", "loss.clip_high", "run.max_steps"])
def test_a_needed_field_cannot_be_off(tmp_path: Path, field: str) -> None:
    assert codes(tmp_path, {field: '"off"'}) == ["RLC0207"]


@pytest.mark.parametrize("table", ["rollout", "reward", "train", "optim"])
def test_a_table_that_the_algorithm_needs_cannot_be_off(tmp_path: Path, table: str) -> None:
    without: Changes = {path: None for path in GRPO if path.startswith(f"{table}.")}
    found = codes(tmp_path, {**without, table: '"off"'})
    assert found in (["RLC0207"], ["RLC0203"])


@pytest.mark.parametrize("word", ["auto", "off"])
def test_a_text_may_be_either_word(tmp_path: Path, word: str) -> None:
    plan = compiled(tmp_path, {"name": f'"{word}"'}).plan
    assert plan is not None
    assert plan.experiment.name == word


def test_auto_is_accepted_exactly_by_the_fields_that_the_compiler_may_decide(tmp_path: Path) -> None:
    base = compiled(tmp_path, {}).plan
    assert base is not None
    there = {path.removeprefix("stages.0.") for path, _ in leaves(base.experiment)}
    for path, key in spec_keys(scan()).items():
        is_text = any(atom.name == "str" for atom in key.field.kind.atoms) and not key.field.kind.may_be_off
        if key.is_derived or path not in there or is_text or key.field.read_if or key.field.kind.records:
            continue
        refused = "RLC0207" in codes(tmp_path, {path: '"auto"'})
        assert refused != key.field.kind.may_be_auto, path


def test_auto_over_a_recipe_asks_again(tmp_path: Path) -> None:
    assert value_of(tmp_path, "loss.clip_high", {}) == 0.28
    assert value_of(tmp_path, "loss.clip_high", {"loss.clip_high": '"auto"'}) == 0.2


def test_no_plan_holds_an_open_value(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"train.packing.tokens": '"auto"', "rollout.concurrency": '"auto"'}).plan
    assert plan is not None
    assert [path for path, value in leaves(plan.experiment) if isinstance(value, Auto)] == []
