"""What a config.json says of a network, in the words of the schema: one spelling for the many that checkpoints have.

Each architecture is read as transformers' own configuration class reads it, defaults included.  What the schema has no
words for is a fault and never dropped: a network that computes something else would be trained.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import OFF
from compiler.lowering.checkpoint_layers import dense_layers, full_attention_interval, indexed_layers
from compiler.lowering.checkpoint_rope import rope_facts, unsupported_rope
from compiler.lowering.checkpoint_said import Fact, Said, Unsupported, count


class Family(NamedTuple):
    """An architecture: what its configuration class takes where a config.json says nothing.

    `experts` is the key of their number, or nothing.  `biases` says whether queries, keys and values have biases:
    `yes`, `no` (and then a config.json may not ask for them) or `said` with the default.
    """

    name: str
    head_dim: int | None = None
    biases: str = "no"
    has_bias: bool = False
    qk_norm: str = "none"
    experts: str = ""
    is_latent: bool = False
    is_linear: bool = False
    rope_fraction: float = 1.0
    is_interleaved: bool = False


_MODEL_TYPES = {
    "llama": Family("llama"),
    "qwen2": Family("qwen2", biases="yes"),
    "mimo": Family("mimo", biases="said", has_bias=True),
    "qwen3": Family("qwen3", head_dim=128, qk_norm="head"),
    "qwen3_moe": Family("qwen3_moe", qk_norm="head", experts="num_experts"),
    "qwen3_next": Family(
        "qwen3_next", head_dim=256, qk_norm="head", experts="num_experts", is_linear=True, rope_fraction=0.25
    ),
    "qwen3_5": Family("qwen3_5", head_dim=256, qk_norm="head", is_linear=True, rope_fraction=0.25),
    "qwen3_5_moe": Family(
        "qwen3_5_moe", head_dim=256, qk_norm="head", experts="num_experts", is_linear=True, rope_fraction=0.25
    ),
    "glm4": Family("glm4", head_dim=128, biases="said", has_bias=True, rope_fraction=0.5, is_interleaved=True),
    "glm4_moe": Family("glm4_moe", biases="said", experts="n_routed_experts", rope_fraction=0.5),
    "glm4_moe_lite": Family("glm4_moe_lite", experts="n_routed_experts", is_latent=True, is_interleaved=True),
    "glm_moe_dsa": Family("glm_moe_dsa", experts="n_routed_experts", is_latent=True, is_interleaved=True),
    "deepseek_v3": Family("deepseek_v3", experts="n_routed_experts", is_latent=True, is_interleaved=True),
    "kimi_k2": Family("kimi_k2", experts="n_routed_experts", is_latent=True, is_interleaved=True),
    "minimax_m2": Family("minimax_m2", head_dim=128, qk_norm="whole", experts="num_local_experts"),
}
KNOWN = tuple(sorted(_MODEL_TYPES))

# Alike everywhere.
_SIZES = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_heads": "num_attention_heads",
    "vocab_size": "vocab_size",
    "max_position_tokens": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
}
_LATENT = {
    "mla.kv_lora_rank": "kv_lora_rank",
    "mla.qk_nope_dim": "qk_nope_head_dim",
    "mla.qk_rope_dim": "qk_rope_head_dim",
    "mla.v_head_dim": "v_head_dim",
}
_LINEAR = {
    "linear_attention.num_key_heads": "linear_num_key_heads",
    "linear_attention.num_value_heads": "linear_num_value_heads",
    "linear_attention.key_head_dim": "linear_key_head_dim",
    "linear_attention.value_head_dim": "linear_value_head_dim",
    "linear_attention.conv_kernel": "linear_conv_kernel_dim",
}
_INDEXER = {
    "indexer.num_heads": "index_n_heads",
    "indexer.head_dim": "index_head_dim",
    "indexer.tokens": "index_topk",
}
_PREDICTION = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")
# What the schema has one word for: the only value, and any that means the same.
_FIXED: Mapping[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "mlp_bias": (False,),
    "attn_output_gate": (True,),
    "moe_layer_freq": (1,),
    "decoder_sparse_step": (1,),
    "shared_intermediate_size": (0,),
    "use_routing_bias": (True,),
    "topk_method": ("noaux_tc",),
}
_TABLES = ("moe", "mla", "linear_attention", "indexer", "rope_scaling")
# Facts that a pattern of layers gives, if it is one that the schema can say.
_PATTERNS = {
    "moe.num_dense_layers": "layers without experts come first",
    "linear_attention.full_attention_interval": "full attention comes at even intervals",
    "indexer.pick_interval": "layers that pick tokens come at even intervals",
}
_FULL = ("full_attention", "indexed_attention")


def family_of(said: Said) -> Family | None:
    """Return the architecture that a config.json names, or None."""
    name = said.get("model_type")
    return _MODEL_TYPES.get(name.removesuffix("_text")) if isinstance(name, str) else None


def facts_of(said: Said, family: Family) -> dict[str, Fact]:
    """Return the facts by their paths below [model]; a table that the network lacks is a fact of value OFF.

    A value may be of any type: whoever reads it into the schema says what is wrong with it.
    """
    found = {"family": Fact(family.name, "model_type")}
    for name, key in _SIZES.items():
        found[name] = said.fact(key)
    found["tie_embeddings"] = said.fact("tie_word_embeddings", False)
    found |= _feed_forward(said, family) | _heads(said, family) | rope_facts(said, family)
    found |= {
        "qk_norm": _qk_norm(said, family),
        "post_norms": Fact(family.name == "glm4", "model_type"),
        "attention_gate": Fact(family.is_linear, "model_type"),
    }
    for key in _PREDICTION:
        if key in said:
            found["num_mtp_layers"] = said.fact(key)
    if family.is_linear:
        found |= {name: said.fact(key) for name, key in _LINEAR.items()}
        found["linear_attention.full_attention_interval"] = full_attention_interval(said)
    if family.name == "glm_moe_dsa":
        found |= {name: said.fact(key) for name, key in _INDEXER.items()}
        found |= indexed_layers(said)
    for table in _TABLES:
        if not any(name.startswith(f"{table}.") for name in found):
            found[table] = Fact(OFF, "model_type")
    return found


def unsupported(said: Said, family: Family) -> Iterator[Unsupported]:
    """Yield what a config.json asks for and the schema cannot say."""
    for key, known in _FIXED.items():
        value = said.get(key)
        if value is not None and value not in known:
            yield Unsupported(key, f"{key} = {json.dumps(value)} is not known here", json.dumps(known[0]))
    if family.biases == "no" and said.get("attention_bias"):
        yield Unsupported("attention_bias", "attention_bias = true is not known here", "false")
    for name, fact in facts_of(said, family).items():
        if name in _PATTERNS and fact.value is None:
            yield Unsupported(fact.key, f"this order of layers is not known here: {fact.key}", _PATTERNS[name])
    kinds = said.texts("layer_types") or []
    if not family.is_linear and any(kind not in _FULL for kind in kinds):
        yield Unsupported("layer_types", "layers without full attention are not known here", '"full_attention"')
    if any(kind != 1 for kind in said.texts("attn_type_list") or []):
        yield Unsupported("attn_type_list", "layers without full attention are not known here", "1")
    yield from unsupported_rope(said)
    if family.experts:
        wanted = "softmax" if family.name.startswith("qwen") else "sigmoid"
        if said.get("scoring_func", wanted) not in (wanted, None):
            value = json.dumps(said.get("scoring_func"))
            yield Unsupported("scoring_func", f"scoring_func = {value} is not known here", json.dumps(wanted))


def _heads(said: Said, family: Family) -> dict[str, Fact]:
    heads = said.get("num_attention_heads")
    shared = said.fact("num_key_value_heads", heads if family.name in ("llama", "mimo") else None)
    if shared.value is None and "num_key_value_heads" in said:
        shared = Fact(heads, "num_attention_heads")
    found = {"num_kv_heads": shared, "head_dim": _head_dim(said, family)}
    if family.is_latent:
        found |= {name: said.fact(key) for name, key in _LATENT.items()}
        rank = said.fact("q_lora_rank")
        found["mla.q_lora_rank"] = Fact(OFF, "q_lora_rank") if rank.value is None and "q_lora_rank" in said else rank
    if family.biases == "said":
        found["qkv_bias"] = said.fact("attention_bias", family.has_bias)
    else:
        found["qkv_bias"] = Fact(family.biases == "yes", "model_type")
    return found


def _head_dim(said: Said, family: Family) -> Fact:
    """The width of a head; that of latent attention is what a query and a key have."""
    if family.is_latent:
        plain, turning = count(said.get("qk_nope_head_dim")), count(said.get("qk_rope_head_dim"))
        return Fact(None if plain is None or turning is None else plain + turning, "qk_nope_head_dim")
    fact = said.fact("head_dim", family.head_dim)
    hidden, heads = count(said.get("hidden_size")), count(said.get("num_attention_heads"))
    if fact.value is None and hidden is not None and heads is not None:
        return Fact(hidden // heads, "hidden_size")
    return fact


def _qk_norm(said: Said, family: Family) -> Fact:
    if family.name == "glm4_moe":
        return Fact("head" if said.get("use_qk_norm") else "none", "use_qk_norm")
    if family.name == "minimax_m2" and said.get("use_qk_norm") is False:
        return Fact("none", "use_qk_norm")
    return Fact(family.qk_norm, "model_type")


def _feed_forward(said: Said, family: Family) -> dict[str, Fact]:
    inner = said.fact("intermediate_size")
    if not family.experts:
        return {"intermediate_size": inner}
    is_minimax, is_qwen = family.name == "minimax_m2", family.name.startswith("qwen")
    one = inner if is_minimax else said.fact("moe_intermediate_size")
    return {
        "intermediate_size": one if inner.value is None else inner,
        "moe.num_experts": _num_experts(said, family),
        "moe.experts_per_token": said.fact("num_experts_per_tok"),
        "moe.expert_size": one,
        "moe.shared_expert_size": _shared(said, family),
        "moe.shared_expert_gate": Fact(is_qwen and family.is_linear, "model_type"),
        "moe.num_dense_layers": dense_layers(said, family.name),
        "moe.score": Fact("softmax" if is_qwen else "sigmoid", "model_type"),
        "moe.expert_bias": Fact(not is_qwen, "model_type"),
        "moe.normalize_weights": said.fact("norm_topk_prob", family.name != "qwen3_moe"),
        "moe.routed_scaling": said.fact("routed_scaling_factor", 1.0),
        "moe.num_groups": said.fact("n_group", 1),
        "moe.groups_per_token": said.fact("topk_group", 1),
    }


def _num_experts(said: Said, family: Family) -> Fact:
    """The number of experts, by the key of the architecture or by another one that newer files may use."""
    keys = (family.experts, "n_routed_experts", "num_experts", "num_local_experts")
    return next((said.fact(key) for key in keys if key in said), Fact(None, family.experts))


def _shared(said: Said, family: Family) -> Fact:
    if family.name in ("qwen3_moe", "minimax_m2"):
        return Fact(OFF, "model_type")
    if family.name.startswith("qwen"):
        return said.fact("shared_expert_intermediate_size")
    number, size = said.get("n_shared_experts"), count(said.get("moe_intermediate_size"))
    if number in (0, None):
        return Fact(OFF, "n_shared_experts")
    several = count(number)
    return Fact(number if several is None or size is None else several * size, "n_shared_experts")
