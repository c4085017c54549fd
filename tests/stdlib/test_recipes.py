"""Recipes and models of the standard library: each compiles in the smallest spec that uses it, and is read whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from compiler.compile import Compiled, compile_spec
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.roots import Place
from compiler.frontend.session import Session
from compiler.frontend.value import RECIPE, plain
from compiler.ir.paths import leaves
from rlc.catalogue import scan

STDLIB = scan().stdlib
RECIPES = sorted(p.stem for p in (STDLIB / "recipes").iterdir() if p.suffix in (".toml", ".star"))
MODELS = sorted(p.stem for p in (STDLIB / "models").glob("*.toml"))

COMMON = """
name = "small"
use = ["//recipes:RECIPE"]
model.name = "//models:MODEL"
cluster.target = "cpu"
run.max_steps = 20
train.global_batch = 8
data.train = [{ path = "rows.jsonl" }]
"""
SAMPLES = """
rollout.samples_per_prompt = 4
rollout.max_response_tokens = 8
reward.name = "exact"
"""


# What those need that neither learn from rewards nor from answers.
OTHERS = {
    "on_policy_distillation": """
rollout.max_response_tokens = 8
teacher = { name = "//models:tiny_qwen3", weights = "teacher" }
"""
}
# Recipes whose algorithm is about several rewards.
REWARDS = {"gdpo": 'reward.name = "weighted_sum"\nreward.terms = [{ name = "exact" }, { name = "f1" }]'}


def use(folder: Path, *, recipe: str = "grpo", model: str = "tiny_qwen3") -> Compiled:
    is_policy = scan().load_algorithm(str(settings(recipe)["algo.name"])).kind == "policy"
    samples = SAMPLES.replace('reward.name = "exact"', REWARDS.get(recipe, 'reward.name = "exact"'))
    text = COMMON.replace("RECIPE", recipe).replace("MODEL", model) + (samples if is_policy else OTHERS.get(recipe, ""))
    (folder / "spec.toml").write_text(text)
    return compile_spec(folder / "spec.toml", scan())


def settings(recipe: str) -> dict[str, object]:
    """What a recipe says where it is used by its name alone."""
    path = next((STDLIB / "recipes").glob(f"{recipe}.*"))
    reporter = Reporter()
    found = Session(STDLIB).trees(Place(path, path.name, STDLIB), named_at=None, reporter=reporter)
    reporter.raise_errors()
    assert found is not None
    table = plain(found.table(RECIPE))
    assert isinstance(table, dict)
    return flat(table)


def flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def test_there_are_recipes_and_models() -> None:
    assert {"dr_grpo", "grpo", "sft"} <= set(RECIPES)
    assert "tiny_qwen3" in MODELS


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_compiles_in_the_smallest_spec_that_uses_it(recipe: str, tmp_path: Path) -> None:
    found = use(tmp_path, recipe=recipe)
    assert [d.message for d in found.diagnostics] == []
    assert found.plan is not None


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_nothing_that_is_not_in_the_plan(recipe: str, tmp_path: Path) -> None:
    found = use(tmp_path, recipe=recipe)
    assert found.subject is not None
    values = dict(leaves(found.subject.experiment))
    for path, value in settings(recipe).items():
        if path != "use":
            assert values[f"stages.0.{path}"] == value
            assert found.subject.origins[f"stages.0.{path}"].kind == "recipe"


@pytest.mark.parametrize("model", MODELS)
def test_a_model_compiles_and_states_every_fact(model: str, tmp_path: Path) -> None:
    found = use(tmp_path, model=model)
    assert [d.message for d in found.diagnostics] == []
    assert found.subject is not None
    values = dict(leaves(found.subject.experiment))
    said = flat(tomli.loads((STDLIB / "models" / f"{model}.toml").read_text()))
    assert {path: values[path] for path in said} == said
    assert {"model.family", "model.num_layers", "model.vocab_size", "model.weights"} <= set(said)


@pytest.mark.parametrize("model", MODELS)
def test_the_heads_of_a_model_share_keys_evenly_and_turn_in_pairs(model: str) -> None:
    facts = tomli.loads((STDLIB / "models" / f"{model}.toml").read_text())["model"]
    assert facts["num_heads"] % facts["num_kv_heads"] == 0
    assert facts["head_dim"] % 2 == 0


def test_grpo_has_the_settings_of_its_papers(tmp_path: Path) -> None:
    found = use(tmp_path)
    assert found.subject is not None
    values = dict(leaves(found.subject.experiment))
    assert values["stages.0.algo.normalize_std"] is True
    assert (values["stages.0.loss.clip_low"], values["stages.0.loss.clip_high"]) == (0.2, 0.28)
    assert values["stages.0.loss.reduction"] == "token"


def test_dr_grpo_divides_neither_by_a_deviation_nor_by_a_length(tmp_path: Path) -> None:
    found = use(tmp_path, recipe="dr_grpo")
    assert found.subject is not None
    values = dict(leaves(found.subject.experiment))
    assert values["stages.0.algo.normalize_std"] is False
    assert values["stages.0.loss.reduction"] == "constant"
    assert values["stages.0.loss.constant_tokens"] == values["stages.0.rollout.max_response_tokens"]
    assert values["stages.0.loss.clip_low"] == values["stages.0.loss.clip_high"] == 0.2


def test_a_parameter_of_a_recipe_reaches_the_plan(tmp_path: Path) -> None:
    text = """load("//recipes:grpo.star", "grpo")
experiment(
    name = "small",
    use = [grpo(clip_high = 0.3, normalize_std = False)],
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 2),
    train = dict(global_batch = 8),
    data = dict(train = [dict(path = "rows.jsonl")]),
    rollout = dict(samples_per_prompt = 4, max_response_tokens = 8),
    reward = dict(name = "exact"),
)
"""
    (tmp_path / "spec.star").write_text(text)
    found = compile_spec(tmp_path / "spec.star", scan())
    assert found.subject is not None
    values = dict(leaves(found.subject.experiment))
    assert (values["stages.0.loss.clip_high"], values["stages.0.algo.normalize_std"]) == (0.3, False)
    origin = found.subject.origins["stages.0.loss.clip_high"]
    assert [call.span.text for call in origin.calls] == ["grpo(clip_high = 0.3, normalize_std = False)"]
