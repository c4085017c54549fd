"""What is cached of one token while text is sampled."""

from __future__ import annotations

from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.parameters import full_attention_layers, picking_layers

FP32_BYTES = 4


def kv_bytes_per_token(model: Model[object], bytes_per_number: int = FP32_BYTES) -> int:
    """Return the bytes of what is cached of one token.

    Keys and values, or the latent vector that they come from, and the key of each indexer.
    """
    layers = full_attention_layers(model)
    if not isinstance(model.mla, Off):
        numbers = layers * (model.mla.kv_lora_rank + model.mla.qk_rope_dim)
        if not isinstance(model.indexer, Off):
            numbers += picking_layers(model, model.indexer) * model.indexer.head_dim
        return numbers * bytes_per_number
    return 2 * layers * model.num_kv_heads * model.head_dim * bytes_per_number
