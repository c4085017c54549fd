"""The Hugging Face configuration of a model, from the facts of the plan alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, Experts, Latent, Yarn
from runtime.engines.train.hf_families import hf_family

if TYPE_CHECKING:
    from transformers.configuration_utils import PreTrainedConfig


def hf_config(model: Model[Never], facts: Architecture) -> PreTrainedConfig:
    """Return the configuration; nothing is downloaded or read from disk."""
    found: PreTrainedConfig = hf_family(model.family).config(
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        max_position_embeddings=model.max_position_tokens,
        rms_norm_eps=model.norm_eps,
        rope_parameters=_rope(model, facts),
        tie_word_embeddings=model.tie_embeddings,
        initializer_range=model.init_std,
        attention_dropout=0.0,
        use_cache=False,
        pad_token_id=None,
        **_of_family(model, facts),
    )
    return found


def _rope(model: Model[Never], facts: Architecture) -> dict[str, Any]:
    found: dict[str, Any] = {"rope_type": "default", "rope_theta": model.rope_base}
    if facts.rope_fraction != 1.0 or model.family in (
        "glm4",
        "glm4_moe",
    ):  # which turn half of a head if nothing is said
        found["partial_rotary_factor"] = facts.rope_fraction
    if isinstance(facts.rope_scaling, Yarn):
        scaling = facts.rope_scaling
        found |= {
            "rope_type": "yarn",
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_max_position_tokens,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
        }
        strengths = {"mscale": scaling.mscale, "mscale_all_dim": scaling.mscale_all_dim}
        found |= {name: strength for name, strength in strengths.items() if strength is not None}
    elif facts.rope_scaling is not None:
        found |= {
            "rope_type": "llama3",
            "factor": facts.rope_scaling.factor,
            "low_freq_factor": facts.rope_scaling.low_freq_factor,
            "high_freq_factor": facts.rope_scaling.high_freq_factor,
            "original_max_position_embeddings": facts.rope_scaling.original_max_position_tokens,
        }
    return found


def _of_family(model: Model[Never], facts: Architecture) -> dict[str, Any]:
    # Latent attention has a width of its own for each part of a head, and calls the one that turns head_dim itself.
    found: dict[str, Any] = {"head_dim": model.head_dim} if facts.latent is None else _latent(facts, facts.latent)
    if model.family != "qwen2":  # whose queries, keys and values always have one
        found["attention_bias"] = facts.qkv_bias
    if model.family == "glm4_moe":
        found["use_qk_norm"] = facts.qk_norm
    return found if facts.experts is None else found | _experts(model.family, facts.experts)


def _latent(facts: Architecture, latent: Latent) -> dict[str, Any]:
    return {
        "q_lora_rank": latent.query_rank or None,
        "kv_lora_rank": latent.rank,
        "qk_nope_head_dim": latent.plain_dim,
        "qk_rope_head_dim": latent.turning_dim,
        "v_head_dim": latent.value_dim,
        "rope_interleave": facts.rope_interleaved,
    }


def _experts(family: str, experts: Experts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "num_experts_per_tok": experts.experts_per_token,
        "moe_intermediate_size": experts.expert_size,
        "norm_topk_prob": experts.normalize_weights,
    }
    if family == "qwen3_moe":
        return found | {
            "num_experts": experts.num_experts,
            "mlp_only_layers": list(range(experts.num_dense_layers)),
        }
    return found | {
        "n_routed_experts": experts.num_experts,
        "n_shared_experts": experts.shared_expert_size // experts.expert_size,
        "first_k_dense_replace": experts.num_dense_layers,
        "routed_scaling_factor": experts.routed_scaling,
        "n_group": experts.num_groups,
        "topk_group": experts.groups_per_token,
        "num_nextn_predict_layers": 0,  # those of a checkpoint are not read, and none are written
    }
