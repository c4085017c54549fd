"""Parameters of a model, counted from its facts: all of them, and those that one token passes through.

Layers of a kind are counted at once, so that a number of layers that nobody could build costs no more than any other.
Layers that predict further tokens are left out, as most publishers leave them out.  Checked, number by number, against
the networks that transformers builds of small configurations and of every model of the library at its full size, and
against what is published.
"""

from __future__ import annotations

from math import gcd

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import LatentAttention, LinearAttention, Model, Moe, SparseIndexer
from compiler.ir.openness import Off


class Parameters(NamedTuple):
    """Numbers in a model, and those that the forward pass of one token uses."""

    total: int
    active: int


def parameters_of(model: Model[object]) -> Parameters:
    """Return the parameters of a model, embeddings included."""
    mixing = _mixers(model)
    norms = model.num_layers * (4 if model.post_norms else 2) * model.hidden_size
    total, active = _feed_forward(model)
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tie_embeddings else 2)
    shared = mixing + norms + embeddings + model.hidden_size
    return Parameters(shared + total, shared + active)


def prediction_parameters(model: Model[object]) -> int:
    """Return the parameters of the layers that predict further tokens: blocks of the last kind, what joins two vectors,
    and three norms each; the embedding and the head are those of the model.
    """
    block = parameters_of(model.replacing(num_layers=model.num_layers + 1)).total - parameters_of(model).total
    return model.num_mtp_layers * (block + 2 * model.hidden_size**2 + 3 * model.hidden_size)


def count_parameters(model: Model[object]) -> int:
    """Return the number of parameters of a model."""
    return parameters_of(model).total


def full_attention_layers(model: Model[object]) -> int:
    """Return how many layers keep keys and values of every token: all, or the last one of each interval."""
    return model.num_layers // _interval(model)


def picking_layers(model: Model[object], indexer: SparseIndexer) -> int:
    """Return how many layers with full attention have an indexer of their own, and so a cached key of every token.

    Counted from 1, those are the leading ones, and behind them the last one of each interval.
    """
    layers, every = model.num_layers, _interval(model)
    leading = min(indexer.leading_layers, layers)
    behind = _meetings((every, 0), (indexer.pick_interval, leading), last=layers)
    return leading // every + behind - _meetings((every, 0), (indexer.pick_interval, leading), last=leading)


def _interval(model: Model[object]) -> int:
    linear = model.linear_attention
    return 1 if isinstance(linear, Off) else linear.full_attention_interval


def _meetings(one: tuple[int, int], other: tuple[int, int], *, last: int) -> int:
    """How many numbers from 1 to the last one leave a remainder each, of (modulus, remainder)."""
    (a, rest), (b, wanted) = one, other
    common = gcd(a, b)
    if (wanted - rest) % common:
        return 0
    first = rest + a * ((wanted - rest) // common * pow(a // common, -1, b // common) % (b // common))
    every = a * b // common
    return (last - first) // every - (0 - first) // every


def _mixers(model: Model[object]) -> int:
    """What mixes the tokens, in all layers."""
    linear, full = model.linear_attention, full_attention_layers(model)
    others = 0 if isinstance(linear, Off) else (model.num_layers - full) * _delta_net(model.hidden_size, linear)
    if isinstance(model.mla, Off):
        return others + full * _grouped_attention(model)
    return others + full * _latent_attention(model, model.mla) + _indexers(model, model.mla)


def _grouped_attention(model: Model[object]) -> int:
    hidden, query, shared = model.hidden_size, model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    count = hidden * query * (2 if model.attention_gate else 1) + 2 * hidden * shared + query * hidden
    if model.qkv_bias:
        count += query + 2 * shared
    return count + {"none": 0, "head": 2 * model.head_dim, "whole": query + shared}[model.qk_norm]


def _latent_attention(model: Model[object], mla: LatentAttention) -> int:
    hidden, heads = model.hidden_size, model.num_heads
    query = heads * (mla.qk_nope_dim + mla.qk_rope_dim)
    rank = mla.q_lora_rank
    count = hidden * query if isinstance(rank, Off) else hidden * rank + rank + rank * query
    count += hidden * (mla.kv_lora_rank + mla.qk_rope_dim) + mla.kv_lora_rank
    return count + mla.kv_lora_rank * heads * (mla.qk_nope_dim + mla.v_head_dim) + heads * mla.v_head_dim * hidden


def _indexers(model: Model[object], mla: LatentAttention) -> int:
    """Queries from the compressed ones, one shared key with a layer norm, and a weight for each head."""
    indexer, hidden, rank = model.indexer, model.hidden_size, mla.q_lora_rank
    if isinstance(indexer, Off):
        return 0
    heads, width = indexer.num_heads, indexer.head_dim
    query_width = hidden if isinstance(rank, Off) else rank
    one = query_width * heads * width + hidden * width + 2 * width + hidden * heads
    return picking_layers(model, indexer) * one


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
