"""The models of the standard library as tests see them, and what a config.json of each says, in transformers' words."""

from __future__ import annotations

from compiler.frontend.roots import library_names
from compiler.ir.model import Model
from compiler.ir.openness import Off
from rlc.catalogue import scan
from rlc.models import read_models

CATALOGUE = scan()
# Models that are described by files of facts and nothing else have no publisher.
OWN = {"tiny_qwen3"}
NAMES = tuple(name for name in library_names("models", CATALOGUE.stdlib) if name not in OWN)
_LIBRARY = {model.name: model.facts for model in read_models(CATALOGUE)}

# What a checkpoint says of itself, and what the trainer's architecture of it is called.
BUILT_AS = {"mimo": "qwen2", "kimi_k2": "deepseek_v3", "qwen3_5": "qwen3_5_text", "qwen3_5_moe": "qwen3_5_moe_text"}
_SAYS_BIASES = ("mimo", "glm4", "glm4_moe")
_SAYS_HEADS_WIDTH = ("llama", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5", "qwen3_5_moe", "glm4", "glm4_moe")


def facts_of(name: str) -> Model[object]:
    """Return the facts of a model of the library."""
    return _LIBRARY[name]


def config_of(model: Model[object]) -> dict[str, object]:
    """Return what the config.json of a checkpoint with these facts holds, as its architecture spells them."""
    family = model.family
    said: dict[str, object] = {
        "model_type": family,
        "num_hidden_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.num_kv_heads,
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_position_tokens,
        "rms_norm_eps": model.norm_eps,
        "rope_parameters": _rope(model),
        "tie_word_embeddings": model.tie_embeddings,
        **_prediction(model),
        **_experts(model),
        **_latent(model),
        **_delta_nets(model),
    }
    if family in (*_SAYS_HEADS_WIDTH, "minimax_m2"):
        said["head_dim"] = model.head_dim
    if family in _SAYS_BIASES:
        said["attention_bias"] = model.qkv_bias
    if family == "glm4_moe":
        said["use_qk_norm"] = model.qk_norm == "head"
    if family == "minimax_m2":
        said["rotary_dim"] = int(model.head_dim * model.rope_fraction)
    return said


def _rope(model: Model[object]) -> dict[str, object]:
    said: dict[str, object] = {"rope_theta": model.rope_base, "rope_type": "default"}
    if model.rope_fraction != 1.0 and model.family != "minimax_m2":
        said["partial_rotary_factor"] = model.rope_fraction
    scaling = model.rope_scaling
    if isinstance(scaling, Off):
        return said
    said |= {
        "rope_type": scaling.kind,
        "factor": scaling.factor,
        "original_max_position_embeddings": scaling.original_max_position_tokens,
    }
    if scaling.kind == "llama3":
        return said | {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    return said | {
        "beta_fast": scaling.beta_fast,
        "beta_slow": scaling.beta_slow,
        "mscale": scaling.mscale,
        "mscale_all_dim": scaling.mscale_all_dim,
    }


def _prediction(model: Model[object]) -> dict[str, object]:
    key = "mtp_num_hidden_layers" if model.family.startswith("qwen") else "num_nextn_predict_layers"
    return {key: model.num_mtp_layers} if model.num_mtp_layers else {}


def _experts(model: Model[object]) -> dict[str, object]:
    moe = model.moe
    if isinstance(moe, Off):
        return {}
    shared = 0 if isinstance(moe.shared_expert_size, Off) else moe.shared_expert_size
    said: dict[str, object] = {"num_experts_per_tok": moe.experts_per_token}
    if model.family == "minimax_m2":
        return said | {"num_local_experts": moe.num_experts}
    said |= {"moe_intermediate_size": moe.expert_size, "norm_topk_prob": moe.normalize_weights}
    if model.family.startswith("qwen"):
        said |= {"num_experts": moe.num_experts, "decoder_sparse_step": 1, "mlp_only_layers": []}
        return said | ({"shared_expert_intermediate_size": shared} if shared else {})
    said |= {
        "n_routed_experts": moe.num_experts,
        "n_shared_experts": shared // moe.expert_size,
        "routed_scaling_factor": moe.routed_scaling,
        "n_group": moe.num_groups,
        "topk_group": moe.groups_per_token,
        "scoring_func": moe.score,
        "topk_method": "noaux_tc",
    }
    if model.family in ("glm4_moe_lite", "glm_moe_dsa"):
        sparse = model.num_layers - moe.num_dense_layers
        return said | {"mlp_layer_types": ["dense"] * moe.num_dense_layers + ["sparse"] * sparse}
    return said | {"first_k_dense_replace": moe.num_dense_layers}


def _latent(model: Model[object]) -> dict[str, object]:
    mla, indexer = model.mla, model.indexer
    if isinstance(mla, Off):
        return {}
    said: dict[str, object] = {
        "q_lora_rank": None if isinstance(mla.q_lora_rank, Off) else mla.q_lora_rank,
        "kv_lora_rank": mla.kv_lora_rank,
        "qk_nope_head_dim": mla.qk_nope_dim,
        "qk_rope_head_dim": mla.qk_rope_dim,
        "v_head_dim": mla.v_head_dim,
        "rope_interleave": model.rope_interleaved,
    }
    if isinstance(indexer, Off):
        return said
    shares = indexer.pick_interval > 1
    return said | {
        "index_n_heads": indexer.num_heads,
        "index_head_dim": indexer.head_dim,
        "index_topk": indexer.tokens,
        **(
            {"index_topk_freq": indexer.pick_interval, "index_skip_topk_offset": indexer.leading_layers}
            if shares
            else {}
        ),
    }


def _delta_nets(model: Model[object]) -> dict[str, object]:
    linear = model.linear_attention
    if isinstance(linear, Off):
        return {}
    return {
        "linear_num_key_heads": linear.num_key_heads,
        "linear_num_value_heads": linear.num_value_heads,
        "linear_key_head_dim": linear.key_head_dim,
        "linear_value_head_dim": linear.value_head_dim,
        "linear_conv_kernel_dim": linear.conv_kernel,
        "full_attention_interval": linear.full_attention_interval,
    }
