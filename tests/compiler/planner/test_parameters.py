"""Parameters counted from a config.json, against transformers' own network of it, made without memory for its weights.

The number holds two things at once: that the facts are read as the library reads them, and that they are counted right.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.parameters import count_parameters, parameters_of
from tests.compiler.planner.test_forecast import UNEQUAL
from tests.support.good_spec import GRPO, Changes, compiled

pytestmark = pytest.mark.torch

# Sizes that divide each other as little as the architectures allow, so that no two can be mistaken for one another.
SIZES = {
    "num_hidden_layers": 5,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 101,
    "max_position_embeddings": 640,
    "rms_norm_eps": 1e-5,
    "rope_theta": 50000.0,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
LATENT = {
    "q_lora_rank": 20,
    "kv_lora_rank": 14,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 18,
    "num_key_value_heads": 6,
}
ROUTED = {"num_experts_per_tok": 3, "moe_intermediate_size": 22}
SHARED = {**ROUTED, "n_routed_experts": 8, "n_shared_experts": 2, "first_k_dense_replace": 2}
LINEAR = {
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 20,
    "linear_conv_kernel_dim": 3,
}
NETWORKS: dict[str, dict[str, object]] = {
    "llama": {"model_type": "llama", "rope_scaling": None},
    "llama_tied": {"model_type": "llama", "tie_word_embeddings": True, "head_dim": 20},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "qwen3_without_a_width": {"model_type": "qwen3"},
    "glm4": {"model_type": "glm4", "head_dim": 16},
    "glm4_without_biases": {"model_type": "glm4", "head_dim": 16, "attention_bias": False},
    "qwen3_moe": {"model_type": "qwen3_moe", **ROUTED, "num_experts": 8, "head_dim": 16},
    "qwen3_moe_with_dense_layers": {
        "model_type": "qwen3_moe",
        **ROUTED,
        "num_experts": 8,
        "head_dim": 16,
        "mlp_only_layers": [0, 1],
    },
    "glm4_moe": {"model_type": "glm4_moe", **SHARED, "head_dim": 16, "attention_bias": True},
    "glm4_moe_normed": {"model_type": "glm4_moe", **SHARED, "head_dim": 16, "use_qk_norm": True},
    "minimax_m2": {"model_type": "minimax_m2", "num_experts_per_tok": 3, "num_local_experts": 8, "head_dim": 16},
    "deepseek_v3": {"model_type": "deepseek_v3", **LATENT, **SHARED, "n_group": 2, "topk_group": 1},
    "moonlight": {"model_type": "deepseek_v3", **LATENT, **SHARED, "n_group": 1, "topk_group": 1, "q_lora_rank": None},
    "glm4_moe_lite": {
        "model_type": "glm4_moe_lite",
        **LATENT,
        **SHARED,
        "mlp_layer_types": ["dense", "dense", "sparse", "sparse", "sparse"],
    },
    "glm_moe_dsa": {
        "model_type": "glm_moe_dsa",
        **LATENT,
        **SHARED,
        "index_n_heads": 3,
        "index_head_dim": 8,
        "index_topk": 16,
    },
    "glm_moe_dsa_sharing": {
        "model_type": "glm_moe_dsa",
        **LATENT,
        **SHARED,
        "num_hidden_layers": 11,
        "index_n_heads": 3,
        "index_head_dim": 8,
        "index_topk": 16,
        "index_topk_freq": 3,
        "index_skip_topk_offset": 2,
    },
    "qwen3_next": {
        "model_type": "qwen3_next",
        **ROUTED,
        **LINEAR,
        "num_experts": 8,
        "shared_expert_intermediate_size": 26,
        "num_hidden_layers": 8,
    },
    "qwen3_5": {"model_type": "qwen3_5_text", **LINEAR, "full_attention_interval": 3, "num_hidden_layers": 7},
    "qwen3_5_moe": {
        "model_type": "qwen3_5_moe_text",
        **ROUTED,
        **LINEAR,
        "num_experts": 8,
        "shared_expert_intermediate_size": 26,
        "num_hidden_layers": 8,
    },
}
BASE = {k: v for k, v in GRPO.items() if k != "model.name"} | {"model.hf": '"small"'}


def config_of(name: str) -> Any:
    said = {**SIZES, **NETWORKS[name]}
    return AutoConfig.for_model(str(said.pop("model_type")), **said)


def network_of(config: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def facts_of(folder: Path, config: dict[str, object]) -> Model[object]:
    (folder / "small").mkdir()
    (folder / "small/config.json").write_text(json.dumps(config, indent=2))
    found = compiled(folder, {}, base=BASE)
    assert found.subject is not None, [d.message for d in found.diagnostics]
    # A family that this machine has no engine for, or a context too short for the recipe, is no matter of facts.
    assert {d.code for d in found.diagnostics} <= {"RLC0502"}, [d.message for d in found.diagnostics]
    return found.subject.experiment.model


def numbers_in(network: torch.nn.Module) -> int:
    """Parameters, and the biases that balance experts, which are buffers."""
    balancing = (b.numel() for name, b in network.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in network.parameters()) + sum(balancing)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_config_as_a_person_writes_it_has_the_parameters_of_the_librarys_network(name: str, tmp_path: Path) -> None:
    written = {**SIZES, **NETWORKS[name]}
    assert count_parameters(facts_of(tmp_path, written)) == numbers_in(network_of(config_of(name)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_config_as_the_library_saves_it_has_the_parameters_of_the_librarys_network(name: str, tmp_path: Path) -> None:
    config = config_of(name)
    saved = json.loads(config.to_json_string(use_diff=True))
    assert count_parameters(facts_of(tmp_path, saved)) == numbers_in(network_of(config))


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if "num_experts_per_tok" in network])
def test_a_token_passes_through_all_but_the_experts_that_it_does_not_visit(name: str, tmp_path: Path) -> None:
    model = facts_of(tmp_path, {**SIZES, **NETWORKS[name]})
    network = network_of(config_of(name))
    assert not isinstance(model.moe, Off)
    # transformers keeps the experts of a layer in two tensors, the first dimension of which counts them.
    experts = sum(p.numel() for name, p in network.named_parameters() if ".experts." in name and p.ndim == 3)
    idle = experts * (model.moe.num_experts - 3) // model.moe.num_experts
    assert experts
    assert parameters_of(model).active == numbers_in(network) - idle


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("facts", [{}, UNEQUAL])
def test_parameters_of_a_spec_are_those_of_the_librarys_network(tmp_path: Path, facts: Changes, tied: str) -> None:
    plan = compiled(tmp_path, {**facts, "model.tie_embeddings": tied}).plan
    assert plan is not None
    model = plan.experiment.model
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        tie_word_embeddings=model.tie_embeddings,
    )
    assert count_parameters(model) == numbers_in(network_of(config))
