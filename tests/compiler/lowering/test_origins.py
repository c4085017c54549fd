"""Where every value came from: the seven kinds of origin, each with its place, and what lost against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.ir.paths import leaves
from compiler.ir.provenance import Origin
from compiler.ir.subject import Subject
from rlc.catalogue import scan
from tests.compiler.ir.changed_plans import QUICKSTART

SPEC = """\
name = "one"
use = ["near.toml"]
model.name = "//models:tiny_qwen3"
cluster.target = "cpu"
rollout = { samples_per_prompt = 4, max_response_tokens = "1Ki", sampling.temperature = 0.5 }
loss.clip_high = "auto"
train.global_batch = 8
reward.name = "exact"
eval.sets = [{ name = "held", path = "h.jsonl" }]
data.train = [{ path = "a.jsonl" }]
model.max_position_tokens = 4096

[[stages]]
name = "first"
run.max_steps = 5
[[stages]]
name = "second"
run.max_steps = 6
optim.lr = 0.25
"""
NEAR = 'use = ["far.toml"]\noptim.lr = 0.5\noptim.weight_decay = 0.5\n'
FAR = 'use = ["//recipes:grpo"]\noptim.lr = 0.125\noptim.weight_decay = 0.125\n'


def written(folder: Path, *overrides: str, spec: str = SPEC) -> Compiled:
    for name, text in (("spec.toml", spec), ("near.toml", NEAR), ("far.toml", FAR)):
        (folder / name).write_text(text)
    return compile_spec(folder / "spec.toml", scan(), overrides=overrides)


def subject_of(found: Compiled) -> Subject:
    assert found.plan is not None, [d.message for d in found.diagnostics]
    assert found.subject is not None
    return found.subject


def origin(folder: Path, path: str, *overrides: str) -> Origin:
    return subject_of(written(folder, *overrides)).origins[path]


def said(found: Origin) -> tuple[str, str, str]:
    assert found.span is not None
    return found.kind, found.span.file.name.rpartition("/")[2], found.span.text


def history(found: Origin) -> list[tuple[str, str, str]]:
    """A value and all that it won over, the strongest first."""
    return [said(found), *(line for lost in found.shadowed for line in history(lost))]


def test_every_leaf_of_a_compiled_experiment_has_an_origin(tmp_path: Path) -> None:
    for found in (written(tmp_path), compile_spec(QUICKSTART, scan())):
        subject = subject_of(found)
        assert [path for path, _ in leaves(subject.experiment) if path not in subject.origins] == []


def test_inputs_of_an_origin_are_fields_of_the_experiment(tmp_path: Path) -> None:
    subject = subject_of(written(tmp_path))
    paths = {path for path, _ in leaves(subject.experiment)}
    for path, found in subject.origins.items():
        assert set(found.inputs) <= paths, path


def test_a_written_value_has_the_place_of_its_text_and_of_its_key(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.rollout.max_response_tokens")
    assert said(found) == ("spec", "spec.toml", '"1Ki"')
    assert found.span is not None
    assert found.key is not None
    assert (found.span.line, found.key.text) == (5, "max_response_tokens")


def test_a_value_of_a_recipe_has_the_place_in_the_recipe(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.loss.clip_low")
    assert said(found) == ("recipe", "grpo.star", "clip_low")
    assert found.span is not None
    assert found.span.file.name == "//recipes/grpo.star"


def test_a_fact_of_a_model_of_the_library_has_the_place_in_the_models_file(tmp_path: Path) -> None:
    assert said(origin(tmp_path, "model.hidden_size")) == ("recipe", "tiny_qwen3.toml", "128")


def test_an_override_has_the_place_in_the_command_line(tmp_path: Path) -> None:
    assert said(origin(tmp_path, "run.seed", "run.seed=7")) == ("override", "--set", "7")


def test_what_nobody_says_is_a_default_without_a_place(tmp_path: Path) -> None:
    assert origin(tmp_path, "run.seed") == Origin("default")
    assert origin(tmp_path, "stages.0.until") == Origin("default")


def test_an_assumption_is_told_apart_from_a_default(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.train.steps_per_rollout")
    assert (found.kind, found.by, found.span) == ("assumed", "batch identity", None)


def test_a_derived_value_names_its_equation_and_what_went_in(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.rollout.prompts_per_step")
    assert (found.kind, found.by) == ("derived", "batch identity")
    assert set(found.inputs) == {
        "stages.0.rollout.samples_per_prompt",
        "stages.0.train.global_batch",
        "stages.0.train.steps_per_rollout",
    }


def test_a_value_that_was_asked_for_by_auto_is_derived(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.loss.clip_high")
    assert (found.kind, found.by, found.inputs) == ("derived", "copy_clip_range", ("stages.0.loss.clip_low",))


def test_evaluation_inherits_the_sampling_of_the_rollout(tmp_path: Path) -> None:
    found = origin(tmp_path, "stages.0.eval.sampling.temperature", "rollout.sampling.temperature=1")
    assert (found.kind, found.inputs) == ("inherited", ("stages.0.rollout.sampling.temperature",))
    own = origin(tmp_path, "stages.0.eval.sampling.temperature", "eval.sampling.temperature=0.25")
    assert said(own) == ("override", "--set", "0.25")


def test_what_lost_is_kept_the_nearer_recipe_before_the_farther(tmp_path: Path) -> None:
    assert history(origin(tmp_path, "stages.0.optim.weight_decay")) == [
        ("recipe", "near.toml", "0.5"),
        ("recipe", "far.toml", "0.125"),
    ]


def test_all_four_priorities_and_the_stage_are_in_the_history_of_one_value(tmp_path: Path) -> None:
    assert history(origin(tmp_path, "stages.1.optim.lr", "optim.lr=0.75")) == [
        ("override", "--set", "0.75"),
        ("spec", "spec.toml", "0.25"),
        ("recipe", "near.toml", "0.5"),
        ("recipe", "far.toml", "0.125"),
        ("recipe", "grpo.star", "lr"),
    ]


@pytest.mark.parametrize(
    ("override", "rates"),
    [
        ("optim.lr=0.75", [0.75, 0.75]),
        ("stages.second.optim.lr=0.75", [0.5, 0.75]),
        ("stages[0].optim.lr=0.75", [0.75, 0.25]),
    ],
)
def test_an_override_reaches_every_stage_or_the_one_it_names(tmp_path: Path, override: str, rates: list[float]) -> None:
    subject = subject_of(written(tmp_path, override))
    assert [stage.optim.lr for stage in subject.experiment.stages] == rates


def test_an_override_of_one_stage_is_stronger_there_than_one_of_all(tmp_path: Path) -> None:
    subject = subject_of(written(tmp_path, "optim.lr=0.75", "stages.second.optim.lr=0.0625"))
    assert [stage.optim.lr for stage in subject.experiment.stages] == [0.75, 0.0625]


def test_a_stage_that_switches_a_shared_table_off_leaves_no_key_without_effect(tmp_path: Path) -> None:
    subject = subject_of(written(tmp_path, 'stages.first.eval="off"'))
    first, second = subject.experiment.stages
    assert repr(first.eval) == "off"
    assert repr(second.eval) != "off"


def test_two_recipes_of_one_distance_that_disagree_are_an_error(tmp_path: Path) -> None:
    spec = SPEC.replace('["near.toml"]', '["near.toml", "far.toml"]')
    found = written(tmp_path, spec=spec)
    assert {(d.code, d.paths) for d in found.diagnostics} == {
        ("RLC0210", ("optim.lr",)),
        ("RLC0210", ("optim.weight_decay",)),
    }
    assert {label.span.text for label in found.diagnostics[0].labels} == {"0.5", "0.125"}


def test_an_override_settles_what_recipes_disagree_about(tmp_path: Path) -> None:
    spec = SPEC.replace('["near.toml"]', '["near.toml", "far.toml"]')
    found = written(tmp_path, "optim.lr=1", "optim.weight_decay=0", spec=spec)
    assert [stage.optim.lr for stage in subject_of(found).experiment.stages] == [1.0, 1.0]
