"""The facts of a tiny model, whole as a plan has them."""

from __future__ import annotations

from typing import Any, Never

from compiler.ir.model import Model, Tokenizer

VOCAB = 37


def tiny_model(**changes: Any) -> Model[Never]:
    """Return a model of two layers, with some facts changed."""
    return Model(**tiny_facts(**changes))


def tiny_facts(**changes: Any) -> dict[str, Any]:
    """Return the facts of that model."""
    facts: dict[str, Any] = {
        "weights": "random",
        "family": "qwen3",
        "qk_norm": "head",
        "num_layers": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 16,
        "vocab_size": VOCAB,
        "max_position_tokens": 1024,
        "rope_base": 10000.0,
        "norm_eps": 1e-6,
        "tie_embeddings": True,
        "tokenizer": Tokenizer(),
    }
    return {**facts, **changes}
