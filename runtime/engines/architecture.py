"""What the engines compute for a model beyond its sizes: biases, norms, rotary facts, kinds of layers.

The rollout engine's forward, the trainer's configuration and nothing else read it, so that both agree by construction
on what the plan's model is, and a contract test holds that they do by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never

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
class Experts:
    """Gated layers of which a router picks a few for each token; `expert_size` is the inner width of one."""

    num_experts: int
    experts_per_token: int
    expert_size: int
    normalize_weights: bool


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
    rope_scaling: RopeScaling | None = None
    experts: Experts | None = None


def architecture(model: Model[Never]) -> Architecture:
    """Return the facts of a model as its plan says them.

    Raises: InternalError for one that the CPU target, which lists what its engines compute, refuses.
    """
    tables = (model.mla, model.linear_attention, model.indexer)
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
    )


def _scaling(model: Model[Never]) -> RopeScaling | None:
    found = model.rope_scaling
    if isinstance(found, Off):
        return None
    if found.kind != "llama3":
        raise InternalError(f"the engines of this process do not stretch positions by {found.kind}")
    return RopeScaling(
        factor=found.factor,
        low_freq_factor=found.low_freq_factor,
        high_freq_factor=found.high_freq_factor,
        original_max_position_tokens=found.original_max_position_tokens,
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
    )
