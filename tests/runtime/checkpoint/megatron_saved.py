"""Checkpoints as Megatron saves them, made from the weights of a tiny model by names and layouts written out here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor


def dense_qwen3(weights: Mapping[str, Tensor], *, layers: int, kv_heads: int, filled: int) -> dict[str, Tensor]:
    """Return Megatron's tensors of a dense model: layers stacked, rows of a vocabulary filled up."""

    def stacked(name: str) -> Tensor:
        return torch.stack([weights[f"model.layers.{at}.{name}"] for at in range(layers)])

    q, k, v = (stacked(f"self_attn.{x}_proj.weight").unflatten(1, (kv_heads, -1)) for x in "qkv")
    table = weights["model.embed_tokens.weight"]
    empty = torch.full((filled - table.shape[0], table.shape[1]), 7.0)  # nobody may read these
    return {
        "embedding.word_embeddings.weight": torch.cat([table, empty]),
        "decoder.final_layernorm.weight": weights["model.norm.weight"],
        "decoder.layers.input_layernorm.weight": stacked("input_layernorm.weight"),
        "decoder.layers.self_attention.linear_qkv.weight": torch.cat([q, k, v], dim=2).flatten(1, 2),
        "decoder.layers.self_attention.q_layernorm.weight": stacked("self_attn.q_norm.weight"),
        "decoder.layers.self_attention.k_layernorm.weight": stacked("self_attn.k_norm.weight"),
        "decoder.layers.self_attention.linear_proj.weight": stacked("self_attn.o_proj.weight"),
        "decoder.layers.pre_mlp_layernorm.weight": stacked("post_attention_layernorm.weight"),
        "decoder.layers.mlp.linear_fc1.weight": torch.cat(
            [stacked("mlp.gate_proj.weight"), stacked("mlp.up_proj.weight")], dim=1
        ),
        "decoder.layers.mlp.linear_fc2.weight": stacked("mlp.down_proj.weight"),
    }


def save(folder: Path, tensors: Mapping[str, Tensor], **more: Any) -> Path:
    """Write a checkpoint by torch itself."""
    dcp.save({**tensors, **more}, checkpoint_id=folder, no_dist=True)
    return folder
