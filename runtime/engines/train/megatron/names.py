"""Which tensors of Hugging Face make up which of Megatron's, for every architecture in one table.

Names of Hugging Face say what is in them, so one table serves all: a model has the rows whose names it has.  Where a
norm is computed within the projection behind it, as TransformerEngine does, Megatron calls it otherwise; the names
stand in turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from compiler.diagnostics.diagnostic import InternalError

Kind = Literal["plain", "vocabulary", "qkv", "gated", "gated_pair", "expert", "gated_expert"]


class Piece(NamedTuple):
    """What becomes one tensor of Megatron, or of experts one for each.

    theirs: names of Hugging Face, all of which are needed.
    ours: names of Megatron, of which a model has one; {expert} counts those that a process holds.
    kind: how they are laid out:
        plain: the same tensor, split where Megatron splits it.
        vocabulary: filled up with zeros to rows that the ranks can share.
        qkv: of each key-value head its queries, its key and its value.
        gated: gate above up in one tensor, each split by itself; gated_pair: the same from two.
        expert, gated_expert: one slice of the stacked tensor for each expert.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    kind: Kind


_OUTSIDE = (
    Piece(("model.embed_tokens.weight",), ("embedding.word_embeddings.weight",), "vocabulary"),
    Piece(("model.norm.weight",), ("decoder.final_layernorm.weight",), "plain"),
    Piece(("lm_head.weight",), ("output_layer.weight",), "vocabulary"),
    Piece(("value_head.weight",), ("number_head",), "plain"),
    Piece(("score.weight",), ("number_head",), "plain"),
)
_QKV = tuple(f"self_attn.{x}_proj" for x in "qkv")
_LAYER = (
    Piece(
        ("input_layernorm.weight",),
        ("input_layernorm.weight", "self_attention.linear_qkv.layer_norm_weight"),
        "plain",
    ),
    Piece(tuple(f"{x}.weight" for x in _QKV), ("self_attention.linear_qkv.weight",), "qkv"),
    Piece(tuple(f"{x}.bias" for x in _QKV), ("self_attention.linear_qkv.bias",), "qkv"),
    Piece(("self_attn.q_norm.weight",), ("self_attention.q_layernorm.weight",), "plain"),
    Piece(("self_attn.k_norm.weight",), ("self_attention.k_layernorm.weight",), "plain"),
    Piece(("self_attn.q_a_proj.weight",), ("self_attention.linear_q_down_proj.weight",), "plain"),
    Piece(
        ("self_attn.q_a_layernorm.weight",),
        ("self_attention.q_layernorm.weight", "self_attention.linear_q_up_proj.layer_norm_weight"),
        "plain",
    ),
    Piece(("self_attn.q_b_proj.weight",), ("self_attention.linear_q_up_proj.weight",), "plain"),
    Piece(("self_attn.kv_a_proj_with_mqa.weight",), ("self_attention.linear_kv_down_proj.weight",), "plain"),
    Piece(
        ("self_attn.kv_a_layernorm.weight",),
        ("self_attention.kv_layernorm.weight", "self_attention.linear_kv_up_proj.layer_norm_weight"),
        "plain",
    ),
    Piece(("self_attn.kv_b_proj.weight",), ("self_attention.linear_kv_up_proj.weight",), "plain"),
    Piece(("self_attn.q_proj.weight",), ("self_attention.linear_q_proj.weight",), "plain"),
    Piece(("self_attn.o_proj.weight",), ("self_attention.linear_proj.weight",), "plain"),
    Piece(("post_self_attn_layernorm.weight",), ("self_attention.linear_proj.post_norm_weight",), "plain"),
    Piece(
        ("post_attention_layernorm.weight",), ("pre_mlp_layernorm.weight", "mlp.linear_fc1.layer_norm_weight"), "plain"
    ),
    Piece(("mlp.gate_proj.weight", "mlp.up_proj.weight"), ("mlp.linear_fc1.weight",), "gated_pair"),
    Piece(("mlp.gate_up_proj.weight",), ("mlp.linear_fc1.weight",), "gated"),
    Piece(("mlp.down_proj.weight",), ("mlp.linear_fc2.weight",), "plain"),
    Piece(("post_mlp_layernorm.weight",), ("mlp.linear_fc2.post_norm_weight",), "plain"),
    Piece(("mlp.gate.weight",), ("mlp.router.weight",), "plain"),
    Piece(("mlp.gate.e_score_correction_bias",), ("mlp.router.expert_bias",), "plain"),
    Piece(
        ("mlp.experts.gate_up_proj",),
        ("mlp.experts.local_experts.{expert}.linear_fc1.weight", "mlp.experts.linear_fc1.weight{expert}"),
        "gated_expert",
    ),
    Piece(
        ("mlp.experts.down_proj",),
        ("mlp.experts.local_experts.{expert}.linear_fc2.weight", "mlp.experts.linear_fc2.weight{expert}"),
        "expert",
    ),
    Piece(
        ("mlp.shared_experts.gate_proj.weight", "mlp.shared_experts.up_proj.weight"),
        ("mlp.shared_experts.linear_fc1.weight",),
        "gated_pair",
    ),
    Piece(("mlp.shared_experts.down_proj.weight",), ("mlp.shared_experts.linear_fc2.weight",), "plain"),
)


def pieces(theirs: Collection[str], ours: Collection[str], num_layers: int) -> Iterator[Piece]:
    """Yield what a model is made of, with whole names, each of which has one name of Megatron's.

    Args:
        theirs: all names that the model has at Hugging Face.
        ours: all names of Megatron, of all processes.

    Raises: InternalError if a name of one side has no counterpart.
    """
    left_theirs, left_ours = set(theirs), set(ours)
    table = [*_OUTSIDE, *(_in_layer(piece, at) for at in range(num_layers) for piece in _LAYER)]
    for piece in table:
        name = next((name for name in piece.ours if name.format(expert=0) in left_ours), None)
        if name is None or not left_theirs.issuperset(piece.theirs):
            continue
        left_theirs.difference_update(piece.theirs)
        left_ours.difference_update({name} if "{" not in name else _of_experts(name, left_ours))
        yield piece._replace(ours=(name,))
    left_ours.discard("output_layer.weight")  # of a pipeline whose last stage has a copy of the embedding
    if left_theirs or left_ours:
        raise InternalError(f"nothing is known of {sorted(left_theirs | left_ours)[:4]}")


def _in_layer(piece: Piece, at: int) -> Piece:
    return Piece(
        tuple(f"model.layers.{at}.{name}" for name in piece.theirs),
        tuple(f"decoder.layers.{at}.{name}" for name in piece.ours),
        piece.kind,
    )


def _of_experts(name: str, names: Collection[str]) -> set[str]:
    return {name.format(expert=at) for at in range(len(names)) if name.format(expert=at) in names}
