"""Any bytes as the config.json of a checkpoint that `model.hf` names, alone and beside a model of the library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from compiler.lowering.checkpoint_config import KNOWN
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import FILES, catalogue, written

_SIZES = {
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 96,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"],
    "num_experts": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}


def check(data: bytes) -> None:
    """Compile the spec of a checkpoint whose facts these are."""
    Path("checkpoint").mkdir(exist_ok=True)
    written("checkpoint/config.json", data)
    sound(Path("stages.toml"), catalogue(), ["model.hf=checkpoint"])
    sound(Path("stages.toml"), catalogue(), ["model.hf=checkpoint", 'model.name="//models:qwen3_4b"'])


def words() -> tuple[str, ...]:
    """Return keys of such files, and JSON's own words."""
    return (*_SIZES, *(str(name) for name in KNOWN), "null", "true", "[]", "{}", '"x"', "Infinity", "NaN", "\\ud800")


def _seeds() -> Iterator[bytes]:
    yield (FILES / "tiny/config.json").read_bytes()
    for name in KNOWN:
        yield json.dumps({"model_type": name, **_SIZES}, indent=1).encode()


TARGET = Target(check, _seeds, words, 2 * CPU_S)
