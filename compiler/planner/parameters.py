"""Parameters of a model, counted layer by layer from its facts: all of them, and those that one token passes through.

Layers that predict further tokens are left out, as most publishers leave them out.  Checked, number by number, against
the networks that transformers builds of small configurations and of every model of the library at its full size, and
against what is published.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import LatentAttention, LinearAttention, Model, Moe, SparseIndexer
from compiler.ir.openness import Off


class Parameters(NamedTuple):
    """Numbers in a model, and those that the forward pass of one token uses."""

    total: int
    active: int


def parameters_of(model: Model[object]) -> Parameters:
    """Return the parameters of a model, embeddings included."""
    mixing = sum(_mixer(model, at) for at in range(model.num_layers))
    norms = model.num_layers * (4 if model.post_norms else 2) * model.hidden_size
    total, active = _feed_forward(model)
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tie_embeddings else 2)
    shared = mixing + norms + embeddings + model.hidden_size
    return Parameters(shared + total, shared + active)


def count_parameters(model: Model[object]) -> int:
    """Return the number of parameters of a model."""
    return parameters_of(model).total


def is_full_attention(model: Model[object], layer: int) -> bool:
    """Whether a layer, counted from 0, keeps keys and values of every token."""
    linear = model.linear_attention
    return isinstance(linear, Off) or (layer + 1) % linear.full_attention_interval == 0


def picks_tokens(indexer: SparseIndexer, layer: int) -> bool:
    """Whether a layer, counted from 0, has an indexer of its own, and so a cached key of it for every token."""
    behind = layer - indexer.leading_layers + 1
    return behind <= 0 or behind % indexer.pick_interval == 0


def _mixer(model: Model[object], layer: int) -> int:
    """What mixes the tokens of one layer."""
    linear = model.linear_attention
    if not isinstance(linear, Off) and not is_full_attention(model, layer):
        return _delta_net(model.hidden_size, linear)
    if not isinstance(model.mla, Off):
        return _latent_attention(model, model.mla, layer)
    return _grouped_attention(model)


def _grouped_attention(model: Model[object]) -> int:
    hidden, query, shared = model.hidden_size, model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    count = hidden * query * (2 if model.attention_gate else 1) + 2 * hidden * shared + query * hidden
    if model.qkv_bias:
        count += query + 2 * shared
    return count + {"none": 0, "head": 2 * model.head_dim, "whole": query + shared}[model.qk_norm]


def _latent_attention(model: Model[object], mla: LatentAttention, layer: int) -> int:
    hidden, heads = model.hidden_size, model.num_heads
    query = heads * (mla.qk_nope_dim + mla.qk_rope_dim)
    rank = mla.q_lora_rank
    count = hidden * query if isinstance(rank, Off) else hidden * rank + rank + rank * query
    count += hidden * (mla.kv_lora_rank + mla.qk_rope_dim) + mla.kv_lora_rank
    count += mla.kv_lora_rank * heads * (mla.qk_nope_dim + mla.v_head_dim) + heads * mla.v_head_dim * hidden
    if not isinstance(model.indexer, Off) and picks_tokens(model.indexer, layer):
        count += _indexer(hidden, hidden if isinstance(rank, Off) else rank, model.indexer)
    return count


def _indexer(hidden: int, query_width: int, indexer: SparseIndexer) -> int:
    """Queries from the compressed ones, one shared key with a layer norm, and a weight for each head."""
    heads, width = indexer.num_heads, indexer.head_dim
    return query_width * heads * width + hidden * width + 2 * width + hidden * heads


def _delta_net(hidden: int, linear: LinearAttention) -> int:
    """Gated delta net: projections, a short convolution, decay and step of each head, a gated norm."""
    keys, values = linear.num_key_heads * linear.key_head_dim, linear.num_value_heads * linear.value_head_dim
    projections = hidden * (2 * keys + 2 * values) + hidden * 2 * linear.num_value_heads + values * hidden
    return projections + (2 * keys + values) * linear.conv_kernel + 2 * linear.num_value_heads + linear.value_head_dim


def _feed_forward(model: Model[object]) -> Parameters:
    dense = 3 * model.hidden_size * model.intermediate_size
    moe = model.moe
    if isinstance(moe, Off):
        return Parameters(model.num_layers * dense, model.num_layers * dense)
    few = min(moe.num_dense_layers, model.num_layers)
    experts = _experts(model.hidden_size, moe)
    sparse = model.num_layers - few
    return Parameters(few * dense + sparse * experts.total, few * dense + sparse * experts.active)


def _experts(hidden: int, moe: Moe) -> Parameters:
    router = moe.num_experts * (hidden + (1 if moe.expert_bias else 0))
    shared = 0 if isinstance(moe.shared_expert_size, Off) else 3 * hidden * moe.shared_expert_size
    gate = hidden if moe.shared_expert_gate else 0
    one = 3 * hidden * moe.expert_size
    always = router + shared + gate
    return Parameters(always + moe.num_experts * one, always + moe.experts_per_token * one)
