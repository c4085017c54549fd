"""What the engines compute for a model beyond its sizes: biases, norms, rotary facts, kinds of layers.

The rollout engine's forward, the trainer's configuration and nothing else read it, so that both agree by construction
on what the plan's model is, and a contract test holds that they do by value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.model import Model
from compiler.ir.openness import Off


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeScaling:
    """Llama 3's slowing of long waves, with the names of its own configuration."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Yarn:
    """YaRN's stretching of positions, with the names of its own configuration.

    mscale, mscale_all_dim: None where the paper's own length is meant.
    """

    factor: float
    original_max_position_tokens: int
    beta_fast: float
    beta_slow: float
    mscale: float | None
    mscale_all_dim: float | None

    @property
    def length(self) -> float:
        """What queries and keys are multiplied by where they turn."""
        if self.mscale is None or self.mscale_all_dim is None:
            return self.growth(1.0)
        return self.growth(self.mscale) / self.growth(self.mscale_all_dim)

    def growth(self, strength: float) -> float:
        """Return 0.1 s ln(factor) + 1.  Paper: arXiv:2309.00071, equation 22."""
        return 1.0 if self.factor <= 1.0 else 0.1 * strength * math.log(self.factor) + 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent:
    """Latent attention.

    query_rank: width that queries pass through, 0 where they do not.  rank: width of the vector that stands for keys
    and values.  plain_dim, turning_dim: channels of a head's query and key without a position, and of those that turn.
    value_dim: channels of a head's value.
    """

    query_rank: int
    rank: int
    plain_dim: int
    turning_dim: int
    value_dim: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Experts:
    """Gated layers of which a router picks a few for each token.

    expert_size, shared_expert_size: inner width of one, and of the one that every token visits (0 where there is none).
    num_dense_layers: leading layers of the network that have one gated layer instead.
    has_bias: whether a bias of each expert, which no gradient reaches, takes part in the choice.
    routed_scaling: multiplies the sum of the chosen ones.
    num_groups, groups_per_token: groups of experts, and how many of them a token may visit.
    """

    num_experts: int
    experts_per_token: int
    expert_size: int
    normalize_weights: bool
    score: Literal["softmax", "sigmoid"] = "softmax"
    has_bias: bool = False
    routed_scaling: float = 1.0
    num_groups: int = 1
    groups_per_token: int = 1
    shared_expert_size: int = 0
    num_dense_layers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """Facts of a decoder-only transformer.

    qkv_bias: whether queries, keys and values have biases.
    qk_norm: whether each head's query and key are normed.
    post_norms: whether the outputs of attention and feed-forward are normed before they are added.
    rope_fraction: share of a head's channels that turn.
    rope_interleaved: whether a rotary pair is two neighbouring channels, instead of one of each half.
    """

    qkv_bias: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    rope_fraction: float = 1.0
    rope_interleaved: bool = False
    rope_scaling: RopeScaling | Yarn | None = None
    experts: Experts | None = None
    latent: Latent | None = None

    @property
    def attention_sharpening(self) -> float:
        """What latent attention multiplies its scores by: YaRN's growth over the whole of a head, squared."""
        scaling = self.rope_scaling
        if not isinstance(scaling, Yarn) or scaling.mscale_all_dim is None:
            return 1.0
        return scaling.growth(scaling.mscale_all_dim) ** 2


def architecture(model: Model[Never]) -> Architecture:
    """Return the facts of a model as its plan says them.

    Raises: InternalError for one that the CPU target, which lists what its engines compute, refuses.
    """
    tables = (model.linear_attention, model.indexer)
    if model.qk_norm == "whole" or model.attention_gate or not all(isinstance(table, Off) for table in tables):
        raise InternalError(f"the engines of this process do not compute the attention of {model.family}")
    return Architecture(
        qkv_bias=model.qkv_bias,
        qk_norm=model.qk_norm == "head",
        post_norms=model.post_norms,
        rope_fraction=model.rope_fraction,
        rope_interleaved=model.rope_interleaved,
        rope_scaling=_scaling(model),
        experts=_experts(model),
        latent=_latent(model),
    )


def _scaling(model: Model[Never]) -> RopeScaling | Yarn | None:
    found = model.rope_scaling
    if isinstance(found, Off):
        return None
    if found.kind == "yarn":
        return Yarn(
            factor=found.factor,
            original_max_position_tokens=found.original_max_position_tokens,
            beta_fast=found.beta_fast,
            beta_slow=found.beta_slow,
            mscale=None if isinstance(found.mscale, Off) else found.mscale,
            mscale_all_dim=None if isinstance(found.mscale_all_dim, Off) else found.mscale_all_dim,
        )
    return RopeScaling(
        factor=found.factor,
        low_freq_factor=found.low_freq_factor,
        high_freq_factor=found.high_freq_factor,
        original_max_position_tokens=found.original_max_position_tokens,
    )


def _latent(model: Model[Never]) -> Latent | None:
    found = model.mla
    if isinstance(found, Off):
        return None
    return Latent(
        query_rank=0 if isinstance(found.q_lora_rank, Off) else found.q_lora_rank,
        rank=found.kv_lora_rank,
        plain_dim=found.qk_nope_dim,
        turning_dim=found.qk_rope_dim,
        value_dim=found.v_head_dim,
    )


def _experts(model: Model[Never]) -> Experts | None:
    found = model.moe
    if isinstance(found, Off):
        return None
    return Experts(
        num_experts=found.num_experts,
        experts_per_token=found.experts_per_token,
        expert_size=found.expert_size,
        normalize_weights=found.normalize_weights,
        score=found.score,
        has_bias=found.expert_bias,
        routed_scaling=found.routed_scaling,
        num_groups=found.num_groups,
        groups_per_token=found.groups_per_token,
        shared_expert_size=0 if isinstance(found.shared_expert_size, Off) else found.shared_expert_size,
        num_dense_layers=found.num_dense_layers,
    )
