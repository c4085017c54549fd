"""Every model of the library says who it is: its label, its place on the hub, its tokenizer and its chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.model import Model
from compiler.ir.openness import Off
from tests.stdlib.models.library import CATALOGUE, NAMES, facts_of
from tests.stdlib.models.published import PUBLISHED

FILES = sorted(path.stem for path in (CATALOGUE.stdlib / "models").glob("*.star"))
SPEC = """load("//models:{file}.star", "{function}")
experiment(
    name = "case",
    use = ["//recipes:sft"],
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 1),
    train = dict(global_batch = 1),
    data = dict(train = [dict(path = "a.jsonl")]),
    model = {function}({arguments}),
)
"""


def model_of(folder: Path, file: str, function: str, arguments: str) -> tuple[Model[object], list[tuple[str, str]]]:
    """What a spec gets that calls a function of a model file, and what the compiler says of its facts."""
    (folder / "spec.star").write_text(SPEC.format(file=file, function=function, arguments=arguments))
    found = compile_spec(folder / "spec.star", CATALOGUE)
    assert found.subject is not None, [d.message for d in found.diagnostics]
    about_machines = ("RLC0502", "RLC0519")
    return found.subject.experiment.model, [
        (d.code, d.message) for d in found.diagnostics if d.code not in about_machines
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_the_library_gives_the_model_of_its_own_name(name: str, tmp_path: Path) -> None:
    file = max((stem for stem in FILES if name.startswith(stem)), key=len)
    model, _ = model_of(tmp_path, file, name, 'weights = "random"')
    assert model.name == f"//models:{name}"
    assert model.hf_id == facts_of(name).hf_id


@pytest.mark.parametrize("name", NAMES)
def test_a_model_names_its_tokenizer_its_template_and_its_place_on_the_hub(name: str) -> None:
    model = facts_of(name)
    assert isinstance(model.hf_id, Off) == (name not in PUBLISHED)
    assert not isinstance(model.chat_template, Off)
    assert not isinstance(model.tokenizer.name, Off)


def test_models_of_one_vocabulary_and_family_name_share_a_tokenizer() -> None:
    """A tokenizer has one vocabulary: models that name the same one differ at most in rows that pad it."""
    sizes: dict[object, set[int]] = {}
    for name in NAMES:
        sizes.setdefault(facts_of(name).tokenizer.name, set()).add(facts_of(name).vocab_size)
    assert {name for name, found in sizes.items() if len(found) > 1} == {"qwen2.5"}
    assert sizes["qwen2.5"] == {151936, 152064}


# What a family leaves open: sizes of its own, and tables that differ from model to model.
SIZES = "weights = 'random', num_layers = 4, hidden_size = 64, intermediate_size = 96, num_heads = 4"
EXPERTS = "dict(num_experts = 8, experts_per_token = 2, expert_size = 16{})"
BALANCED = EXPERTS.format(", score = 'sigmoid', expert_bias = True")
GATED = EXPERTS.format(", shared_expert_size = 16, shared_expert_gate = True")
FAMILIES = {
    ("deepseek_v3", "deepseek_v3_family"): "num_kv_heads = 4",
    ("glm4", "glm4"): "num_kv_heads = 2",
    ("glm4_5", "glm4_5"): f"num_kv_heads = 2, moe = {BALANCED[:-1]}, shared_expert_size = 16)",
    ("glm5", "glm5"): "num_kv_heads = 4",
    ("kimi_k2", "kimi_k2_family"): "num_kv_heads = 4",
    ("llama", "llama3"): "num_kv_heads = 2",
    ("llama", "llama3_1"): "num_kv_heads = 2",
    ("mimo", "mimo"): "num_kv_heads = 2",
    ("minimax_m2", "minimax"): "num_kv_heads = 2",
    ("moonlight", "moonlight"): "num_kv_heads = 4",
    ("qwen2_5", "qwen2_5"): "num_kv_heads = 2, vocab_size = 512",
    ("qwen3", "qwen3"): "num_kv_heads = 2",
    ("qwen3", "qwen3_moe"): f"num_kv_heads = 2, moe = {EXPERTS.format('')}",
    ("qwen3_5", "qwen3_5"): "num_kv_heads = 2",
    ("qwen3_next", "qwen3_next"): f"num_kv_heads = 2, moe = {GATED}",
}


@pytest.mark.parametrize(("file", "function"), FAMILIES)
def test_a_family_scales_to_other_sizes_and_keeps_its_facts(file: str, function: str, tmp_path: Path) -> None:
    model, told = model_of(tmp_path, file, function, f"{SIZES}, {FAMILIES[file, function]}")
    assert told == []
    assert (model.num_layers, model.hidden_size, model.intermediate_size, model.num_heads) == (4, 64, 96, 4)
    members = (
        [facts_of(name) for name in NAMES if name.startswith(file)] if file != "llama" else [facts_of("llama3_8b")]
    )
    (like, *_) = [member for member in members if member.family == model.family]
    kept = ("qk_norm", "post_norms", "attention_gate", "rope_interleaved", "norm_eps")
    assert [model.__dict__[fact] for fact in kept] == [like.__dict__[fact] for fact in kept]


def test_every_family_of_the_library_is_scaled_above() -> None:
    scaled = {file for file, _ in FAMILIES}
    same_shapes = {"deepseek_r1", "glm4_6", "glm4_7", "glm_z1", "qwen3_6"}
    assert scaled | same_shapes == set(FILES)
    assert scaled & same_shapes == set()


def test_a_family_without_its_sizes_says_which_are_missing(tmp_path: Path) -> None:
    (tmp_path / "spec.star").write_text(
        SPEC.format(file="qwen3", function="qwen3", arguments="weights = 'random', hidden_size = 64")
    )
    found = compile_spec(tmp_path / "spec.star", CATALOGUE).diagnostics
    assert [(d.code, d.paths) for d in found if d.code == "RLC0205"] == [
        ("RLC0205", (f"model.{fact}",)) for fact in ("num_layers", "intermediate_size", "num_heads")
    ]
