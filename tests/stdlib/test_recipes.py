"""Recipes and models of the standard library: each compiles in the smallest spec that uses it, and is read whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from compiler.compile import Compiled, compile_spec
from compiler.ir.paths import leaves
from rlc.catalogue import scan

STDLIB = scan().stdlib
RECIPES = sorted(p.stem for p in (STDLIB / "recipes").glob("*.toml"))
MODELS = sorted(p.stem for p in (STDLIB / "models").glob("*.toml"))

COMMON = """
name = "small"
use = ["//recipes:RECIPE"]
model.name = "//models:MODEL"
cluster.target = "cpu"
run.max_steps = 2
train.global_batch = 8
data.train = [{ path = "rows.jsonl" }]
"""
SAMPLES = """
rollout.samples_per_prompt = 4
rollout.max_response_tokens = 8
reward.name = "exact"
"""


def use(folder: Path, *, recipe: str = "grpo", model: str = "tiny_qwen3") -> Compiled:
    data = tomli.loads((STDLIB / "recipes" / f"{recipe}.toml").read_text())
    is_policy = scan().load_algorithm(data["algo"]["name"]).kind == "policy"
    text = COMMON.replace("RECIPE", recipe).replace("MODEL", model) + (SAMPLES if is_policy else "")
    (folder / "spec.toml").write_text(text)
    return compile_spec(folder / "spec.toml", scan())


def flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def test_there_are_recipes_and_models() -> None:
    assert {"grpo", "sft"} <= set(RECIPES)
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
    for path, value in flat(tomli.loads((STDLIB / "recipes" / f"{recipe}.toml").read_text())).items():
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
