"""The Hugging Face configuration of a model, from the facts of the plan alone."""

from __future__ import annotations

from typing import Never

from transformers import Qwen3Config

from compiler.ir.model import Model


def hf_config(model: Model[Never]) -> Qwen3Config:
    """Return the configuration; nothing is downloaded or read from disk."""
    return Qwen3Config(
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        max_position_embeddings=model.max_position_tokens,
        rms_norm_eps=model.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_base},
        tie_word_embeddings=model.tie_embeddings,
        initializer_range=model.init_std,
        attention_bias=False,
        attention_dropout=0.0,
        use_cache=False,
    )
