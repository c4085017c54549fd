"""The Hugging Face configuration of a model, from the facts of the plan alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture
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
        head_dim=model.head_dim,
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
    if facts.rope_fraction != 1.0:
        found["partial_rotary_factor"] = facts.rope_fraction
    if facts.rope_scaling is not None:
        found |= {
            "rope_type": "llama3",
            "factor": facts.rope_scaling.factor,
            "low_freq_factor": facts.rope_scaling.low_freq_factor,
            "high_freq_factor": facts.rope_scaling.high_freq_factor,
            "original_max_position_embeddings": facts.rope_scaling.original_max_position_tokens,
        }
    return found


def _of_family(model: Model[Never], facts: Architecture) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if model.family != "qwen2":  # whose queries, keys and values always have one
        found["attention_bias"] = facts.qkv_bias
    if facts.experts is not None:
        found |= {
            "num_experts": facts.experts.num_experts,
            "num_experts_per_tok": facts.experts.experts_per_token,
            "moe_intermediate_size": facts.experts.expert_size,
            "norm_topk_prob": facts.experts.normalize_weights,
        }
    return found
