"""`model.hf` of every architecture: spellings reconciled, what has no words refused, the library against transformers.

That the facts of each architecture are read right is held by the parameters of transformers' own networks
(tests/compiler/planner/test_parameters.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from compiler.compile import Compiled
from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.lowering.checkpoint_config import KNOWN, facts_of, family_of, unsupported
from compiler.lowering.checkpoint_said import Said
from tests.support.good_spec import GRPO, Changes, compiled

BASE = {k: v for k, v in GRPO.items() if k != "model.name"} | {"model.hf": '"small"'}
SIZES: dict[str, object] = {
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
EXPERTS: dict[str, object] = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
DELTA: dict[str, object] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}
LATENT: dict[str, object] = {
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}


def compiled_with(folder: Path, config: dict[str, object], changes: Changes | None = None) -> Compiled:
    (folder / "small").mkdir(exist_ok=True)
    (folder / "small/config.json").write_text(json.dumps(config, indent=2))
    return compiled(folder, changes or {}, base=BASE)


def model_of(folder: Path, config: dict[str, object]) -> Model[object]:
    subject = compiled_with(folder, {**SIZES, **config}).subject
    assert subject is not None
    return subject.experiment.model


def refused(folder: Path, config: dict[str, object]) -> list[str]:
    found = compiled_with(folder, {**SIZES, **config}).diagnostics
    return [d.message for d in found if d.code == "RLC0212"]


def contradicted(folder: Path, config: dict[str, object], library: str) -> list[tuple[str, str]]:
    found = compiled_with(folder, config, {"model.name": f'"//models:{library}"'}).diagnostics
    return [(d.code, d.message) for d in found if d.code in ("RLC0212", "RLC0213", "RLC0232")]


# What the class leaves to the checkpoint: positions above all, which its defaults have as they were before stretching.
LEFT_OPEN: dict[str, tuple[str, dict[str, object]]] = {
    "deepseek_v3": (
        "deepseek_v3",
        {
            "max_position_embeddings": 163840,
            "rope_parameters": {
                "rope_theta": 10000.0,
                "rope_type": "yarn",
                "factor": 40.0,
                "original_max_position_embeddings": 4096,
                "beta_fast": 32,
                "beta_slow": 1,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
            },
        },
    ),
    "glm4_moe_lite": ("glm4_7_30b_a3b", {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}),
    "glm_moe_dsa": ("glm5_744b_a40b", {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}),
    "glm4": ("glm4_9b", {"max_position_embeddings": 32768, "rms_norm_eps": 1e-5}),
    "glm4_moe": (
        "glm4_5_106b_a12b",
        {
            "head_dim": 128,
            "attention_bias": True,
            "rope_parameters": {"rope_theta": 1e6, "rope_type": "default", "partial_rotary_factor": 0.5},
        },
    ),
    "minimax_m2": ("minimax_m2", {"rotary_dim": 64}),
    "qwen3_next": (
        "qwen3_next_80b_a3b",
        {
            "intermediate_size": 5120,
            "max_position_embeddings": 262144,
            "rope_parameters": {"rope_theta": 1e7, "rope_type": "default", "partial_rotary_factor": 0.25},
        },
    ),
    "qwen3_5_text": (
        "qwen3_5_9b",
        {
            "max_position_embeddings": 262144,
            "rope_parameters": {"rope_theta": 1e7, "rope_type": "default", "partial_rotary_factor": 0.25},
        },
    ),
    "qwen3_5_moe_text": (
        "qwen3_5_35b_a3b",
        {
            "max_position_embeddings": 262144,
            "rope_parameters": {"rope_theta": 1e7, "rope_type": "default", "partial_rotary_factor": 0.25},
        },
    ),
}


@pytest.mark.parametrize("model_type", LEFT_OPEN)
def test_the_library_has_the_facts_that_are_the_defaults_of_transformers(model_type: str, tmp_path: Path) -> None:
    library, said = LEFT_OPEN[model_type]
    default: Any = AutoConfig.for_model(model_type)
    config = {**json.loads(default.to_json_string(use_diff=False)), **said}
    assert contradicted(tmp_path, config, library) == []
    assert contradicted(tmp_path, {**config, "num_hidden_layers": 3, "layer_types": None}, library) != []


def test_the_part_about_language_is_read_and_the_part_about_images_is_not(tmp_path: Path) -> None:
    text: dict[str, object] = {**SIZES, **DELTA, "model_type": "qwen3_5_text", "head_dim": 8}
    config: dict[str, object] = {
        "model_type": "qwen3_5",
        "vision_config": {"hidden_size": 7, "num_hidden_layers": 2},
        "tie_word_embeddings": True,
        "text_config": text,
    }
    found = compiled_with(tmp_path, config, {"model.hidden_size": "64"})
    ((fault),) = [d for d in found.diagnostics if d.code == "RLC0213"]
    place = fault.labels[0].span
    assert (place.text, place.line) == ("32", 10)
    assert found.subject is not None
    model = found.subject.experiment.model
    assert (model.family, model.num_layers, model.tie_embeddings) == ("qwen3_5", 4, True)
    assert not isinstance(model.linear_attention, Off)
    assert model.linear_attention.full_attention_interval == 4


def test_latent_attention_without_compressed_queries(tmp_path: Path) -> None:
    model = model_of(tmp_path, {"model_type": "deepseek_v3", **LATENT, "n_shared_experts": 2, "n_group": None})
    assert not isinstance(model.mla, Off)
    assert not isinstance(model.moe, Off)
    assert (model.mla.q_lora_rank, model.head_dim, model.rope_interleaved) == (OFF, 12, True)
    assert (model.moe.shared_expert_size, model.moe.num_dense_layers, model.moe.num_groups) == (32, 3, 1)


@pytest.mark.parametrize(
    ("scaling", "longest"),
    [
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}, 2048),
        ({"rope_type": "yarn", "factor": 4.0}, 2048),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}, 512),
    ],
)
def test_stretched_positions_reach_as_far_as_they_are_stretched(
    tmp_path: Path, scaling: dict[str, object], longest: int
) -> None:
    model = model_of(tmp_path, {"model_type": "qwen3", "rope_scaling": scaling})
    assert not isinstance(model.rope_scaling, Off)
    assert (model.max_position_tokens, model.rope_scaling.factor) == (longest, scaling["factor"])


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen3_moe", **EXPERTS, "decoder_sparse_step": 2},
        {"model_type": "qwen3_moe", **EXPERTS, "mlp_only_layers": [1]},
        {"model_type": "glm4_moe_lite", **LATENT, "mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
        {"model_type": "deepseek_v3", **LATENT, "scoring_func": "softmax"},
        {"model_type": "deepseek_v3", **LATENT, "topk_method": "greedy"},
        {"model_type": "deepseek_v3", **LATENT, "moe_layer_freq": 2},
        {"model_type": "deepseek_v3", **LATENT, "attention_bias": True},
        {"model_type": "llama", "mlp_bias": True},
        {"model_type": "minimax_m2", "num_local_experts": 8, "num_experts_per_tok": 2, "attn_type_list": [1, 0, 1, 0]},
        {"model_type": "qwen3_5_text", **DELTA, "layer_types": ["linear_attention", *["full_attention"] * 3]},
        {"model_type": "qwen3_5_text", **DELTA, "attn_output_gate": False},
        {"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"] * 2},
    ],
)
def test_a_network_that_the_schema_has_no_words_for_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    assert len(refused(tmp_path, config)) == 1


@pytest.mark.parametrize(
    ("said", "picks"),
    [
        ({}, (1, 1)),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 3}, (3, 4)),
        ({"index_topk_pattern": "FFSSFSS"}, (2, 3)),
        ({"indexer_types": ["full", "shared", "full", "shared"]}, (1, 2)),
        ({"indexer_types": ["full", "shared", "shared", "full", "full"]}, None),
        ({"indexer_types": ["shared", "full", "shared", "full"]}, None),
    ],
)
def test_layers_that_share_what_an_indexer_picked(
    tmp_path: Path, said: dict[str, object], picks: tuple[int, int] | None
) -> None:
    indexer = {"index_n_heads": 2, "index_head_dim": 8, "index_topk": 64}
    config = {"model_type": "glm_moe_dsa", **LATENT, **indexer, "q_lora_rank": 16, "num_hidden_layers": 12, **said}
    if picks is None:
        assert len(refused(tmp_path, config)) == 1
        return
    found = model_of(tmp_path, config).indexer
    assert not isinstance(found, Off)
    assert (found.leading_layers, found.pick_interval) == picks


def test_a_table_of_facts_that_the_checkpoint_lacks_contradicts_it(tmp_path: Path) -> None:
    experts = "{ num_experts = 8, experts_per_token = 2, expert_size = 16 }"
    found = compiled_with(tmp_path, {**SIZES, "model_type": "qwen3"}, {"model.moe": experts}).diagnostics
    assert ("RLC0213", "model.moe is off in the checkpoint") in [(d.code, d.message) for d in found]


def test_what_the_library_leaves_to_the_schema_is_compared_as_well(tmp_path: Path) -> None:
    default: Any = AutoConfig.for_model("qwen3")
    stretched = {
        "rope_theta": 1000000,
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32768,
    }
    config = {**json.loads(default.to_json_string(use_diff=False)), "rope_parameters": stretched}
    told = dict.fromkeys(message for _, message in contradicted(tmp_path, config, "qwen3_8b"))
    assert "model.rope_scaling is a table in the checkpoint and off in //models:qwen3_8b" in told


def test_of_another_architecture_nothing_else_is_told(tmp_path: Path) -> None:
    default: Any = AutoConfig.for_model("qwen3")
    config = {**json.loads(default.to_json_string(use_diff=False)), "model_type": "qwen2"}
    told = dict.fromkeys(message for _, message in contradicted(tmp_path, config, "qwen3_8b"))
    assert list(told) == ["model.family is qwen2 in the checkpoint and qwen3 in //models:qwen3_8b"]


STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**63, 10**400, 0.0, -1.5, 1e308, float("inf"), float("nan")]),
    st.text(max_size=4),
    st.lists(st.sampled_from(["full", "dense", "linear_attention", 1, None, [], {}]), max_size=5),
    st.dictionaries(
        st.sampled_from(["rope_theta", "rope_type", "type", "factor"]), st.sampled_from(["yarn", 1e308, 4])
    ),
)
EVERYTHING: dict[str, object] = {
    **SIZES,
    **EXPERTS,
    **DELTA,
    **LATENT,
    "first_k_dense_replace": 1,
    "mlp_only_layers": [],
    "layer_types": ["full_attention"] * 4,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "indexer_types": ["full", "shared"],
    "index_topk_pattern": "FFSS",
    "rotary_dim": 4,
    "partial_rotary_factor": 0.5,
    "rope_scaling": {"type": "yarn", "factor": 2.0},
    "rope_parameters": {"rope_theta": 1e4},
    "scoring_func": "sigmoid",
    "shared_expert_intermediate_size": 16,
    "num_nextn_predict_layers": 1,
    "text_config": {},
}


@example(family="deepseek_v3", changes={"rope_parameters": {"rope_type": "yarn", "factor": 1e308}})
@example(family="minimax_m2", changes={"rotary_dim": 10**400})
@example(family="glm_moe_dsa", changes={"indexer_types": None, "index_topk_pattern": None, "num_hidden_layers": 2**63})
@settings(max_examples=200, deadline=None)
@given(
    family=st.sampled_from(KNOWN),
    changes=st.dictionaries(st.sampled_from(sorted(EVERYTHING)), STRANGE, min_size=1, max_size=4),
)
def test_no_value_of_any_key_ends_in_anything_but_facts_or_faults(family: str, changes: dict[str, object]) -> None:
    said = Said({**EVERYTHING, "model_type": family, **changes})
    found = family_of(said)
    assert found is not None
    assert all(fault.message for fault in unsupported(said, found))
    assert facts_of(said, found)["family"].value == family


def test_a_number_of_more_than_64_bits_is_refused(tmp_path: Path) -> None:
    found = compiled_with(tmp_path, {"model_type": "llama", **SIZES, "vocab_size": 2**63}).diagnostics
    assert [d.code for d in found] == ["RLC0212"]
    assert found[0].message.endswith("small/config.json is not JSON")
    assert found[0].labels[-1].text == "too deep, or a number too long"
