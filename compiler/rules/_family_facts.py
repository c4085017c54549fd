"""What each architecture is beyond its sizes: the facts that its engines take for granted, as data.

Each family is what its modeling file in transformers computes.  A fact that is not listed is free.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.ir.openness import OFF

# Any value but "off".
ON = "on"
Facts = Mapping[str, "tuple[object, ...]"]

_PLAIN: Facts = {
    "qkv_bias": (False,),
    "qk_norm": ("none",),
    "post_norms": (False,),
    "attention_gate": (False,),
    "rope_interleaved": (False,),
    "rope_fraction": (1.0,),
    "moe": (OFF,),
    "mla": (OFF,),
    "linear_attention": (OFF,),
    "indexer": (OFF,),
}
_EITHER = (True, False)
_SOFTMAX: Facts = {
    "moe": (ON,),
    "moe.score": ("softmax",),
    "moe.expert_bias": (False,),
    "moe.routed_scaling": (1.0,),
    "moe.num_groups": (1,),
}
_SIGMOID: Facts = {
    "moe": (ON,),
    "moe.score": ("sigmoid",),
    "moe.expert_bias": (True,),
    "moe.shared_expert_gate": (False,),
}
_SHARED: Facts = {**_SIGMOID, "moe.shared_expert_size": (ON,)}
_LATENT: Facts = {"mla": (ON,), "rope_interleaved": _EITHER, **_SHARED}
_DELTA_NETS: Facts = {
    "linear_attention": (ON,),
    "attention_gate": (True,),
    "qk_norm": ("head",),
    "rope_fraction": (ON,),
}
_GATED_EXPERTS: Facts = {**_DELTA_NETS, **_SOFTMAX, "moe.shared_expert_size": (ON,), "moe.shared_expert_gate": (True,)}

_OWN: Mapping[str, Facts] = {
    "llama": {},
    "qwen2": {"qkv_bias": (True,)},
    "mimo": {"qkv_bias": _EITHER},
    "qwen3": {"qk_norm": ("head",)},
    "qwen3_moe": {"qk_norm": ("head",), **_SOFTMAX, "moe.shared_expert_size": (OFF,)},
    "qwen3_next": _GATED_EXPERTS,
    "qwen3_5": _DELTA_NETS,
    "qwen3_5_moe": _GATED_EXPERTS,
    "glm4": {"qkv_bias": _EITHER, "post_norms": (True,), "rope_interleaved": (True,), "rope_fraction": (ON,)},
    "glm4_moe": {"qkv_bias": _EITHER, "qk_norm": ("none", "head"), "rope_fraction": (ON,), **_SHARED},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": {**_LATENT, "indexer": (ON,), "mla.q_lora_rank": (ON,)},
    "deepseek_v3": _LATENT,
    "kimi_k2": _LATENT,
    "minimax_m2": {
        "qk_norm": ("whole", "none"),
        "rope_fraction": (ON,),
        **_SIGMOID,
        "moe.shared_expert_size": (OFF,),
    },
}
FAMILIES: Mapping[str, Facts] = {name: {**_PLAIN, **own} for name, own in _OWN.items()}


def is_of(value: object, allowed: tuple[object, ...]) -> bool:
    """Whether a fact is one of those that a family has."""
    return value in allowed or (ON in allowed and value is not OFF)
