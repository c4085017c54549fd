"""The facts of a network that decide what its training and its generation hold, and its parameters layer by layer.

A model of the library has all of them; figures that others measured are often of networks that the library does not
have, with LayerNorm, biases, learned positions, dropout or a feed-forward layer without a gate, so those are facts too.

Parameters are told apart by how they are spread: those that tensor parallelism splits, those of which every rank has a
copy (norms, routers, narrow projections of latent attention), and those of routed experts.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import LatentAttention, LinearAttention, Model, Moe, SparseIndexer
from compiler.ir.openness import OFF, Off


class Network(NamedTuple):
    """What a network is made of."""

    num_layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    moe: Moe | Off = OFF
    mla: LatentAttention | Off = OFF
    linear: LinearAttention | Off = OFF
    indexer: SparseIndexer | Off = OFF
    mtp_layers: int = 0
    qk_norm: bool = False
    qkv_bias: bool = False
    attention_gate: bool = False
    post_norms: bool = False
    gated_ffn: bool = True
    biases: bool = False
    norm_vectors: int = 1
    positions: int = 0
    dropout: bool = False


class Parameters(NamedTuple):
    """Numbers of a part of a network, by how they are spread."""

    split: float = 0.0
    copied: float = 0.0
    routed: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.split + self.copied + self.routed


class LayerKinds(NamedTuple):
    """How many layers of each kind a part of a network has; fractions are averages over parts."""

    dense: float = 0.0
    sparse: float = 0.0
    full: float = 0.0
    linear: float = 0.0

    @property
    def all(self) -> float:
        """Layers of any kind."""
        return self.dense + self.sparse

    def times(self, factor: float) -> LayerKinds:
        """Return so many times as many."""
        return LayerKinds(*(count * factor for count in self))

    def plus(self, other: LayerKinds) -> LayerKinds:
        """Return both parts together."""
        return LayerKinds(*(a + b for a, b in zip(self, other, strict=True)))


def network_of(model: Model[object]) -> Network:
    """Return the facts of a model of the library."""
    return Network(
        num_layers=model.num_layers,
        hidden=model.hidden_size,
        ffn=model.intermediate_size,
        heads=model.num_heads,
        kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        vocab=model.vocab_size,
        tied=model.tie_embeddings,
        moe=model.moe,
        mla=model.mla,
        linear=model.linear_attention,
        indexer=model.indexer,
        mtp_layers=model.num_mtp_layers,
        qk_norm=model.qk_norm != "none",
        qkv_bias=model.qkv_bias,
        attention_gate=model.attention_gate,
        post_norms=model.post_norms,
    )


def layer_kinds(network: Network, first: int, behind: int) -> LayerKinds:
    """Return the kinds of the layers from one index up to, and without, another."""
    leading = behind if isinstance(network.moe, Off) else min(network.moe.num_dense_layers, network.num_layers)
    dense = max(0, min(behind, leading) - first)
    every = 1 if isinstance(network.linear, Off) else network.linear.full_attention_interval
    full = behind // every - first // every
    return LayerKinds(dense, behind - first - dense, full, behind - first - full)


def kinds_parameters(network: Network, kinds: LayerKinds) -> Parameters:
    """Return the parameters of a number of layers of each kind."""
    split = copied = routed = 0.0
    parts = (
        (_full_attention, kinds.full),
        (_linear_attention, kinds.linear),
        (_dense_ffn, kinds.dense),
        (_experts, kinds.sparse),
    )
    for part, count in parts:
        if count:
            one = part(network)
            split, copied, routed = split + one[0] * count, copied + one[1] * count, routed + one[2] * count
    norms = (4 if network.post_norms else 2) * network.norm_vectors * network.hidden
    return Parameters(split, copied + norms * kinds.all, routed)


def attention_parameters(network: Network, kinds: LayerKinds) -> Parameters:
    """Return the parameters of the attention of a number of layers of each kind."""
    return _sum(_times(_full_attention(network), kinds.full), _times(_linear_attention(network), kinds.linear))


def embedding_parameters(network: Network) -> Parameters:
    """Return the parameters of the table that tokens are looked up in, and of learned positions."""
    return Parameters(split=network.vocab * network.hidden, copied=network.positions * network.hidden)


def head_parameters(network: Network) -> Parameters:
    """Return the parameters of the last norm and of the head over the vocabulary; one that is tied counts too."""
    return Parameters(split=network.vocab * network.hidden, copied=network.norm_vectors * network.hidden)


def prediction_parameters(network: Network) -> Parameters:
    """Return the parameters of one layer that predicts a further token.

    It has two norms, a projection of the hidden state beside the embedding, a layer like the last one, and a norm.
    """
    hidden, norm = network.hidden, network.norm_vectors * network.hidden
    layer = kinds_parameters(network, last_layer(network))
    return _sum(layer, Parameters(split=2 * hidden * hidden, copied=3 * norm))


def last_layer(network: Network) -> LayerKinds:
    """Return the kind of the last layer, with full attention."""
    kinds = layer_kinds(network, network.num_layers - 1, network.num_layers)
    return LayerKinds(kinds.dense, kinds.sparse, 1, 0)


def _sum(*parts: Parameters) -> Parameters:
    return Parameters(*(sum(column) for column in zip(*parts, strict=True)))


def _times(part: Parameters, factor: float) -> Parameters:
    return Parameters(*(count * factor for count in part))


def _full_attention(network: Network) -> Parameters:
    return _grouped(network) if isinstance(network.mla, Off) else _latent(network, network.mla)


def _grouped(network: Network) -> Parameters:
    hidden, query, shared = network.hidden, network.heads * network.head_dim, network.kv_heads * network.head_dim
    split = hidden * query * (2 if network.attention_gate else 1) + 2 * hidden * shared + query * hidden
    if network.qkv_bias or network.biases:
        split += query + 2 * shared
    copied = (2 * network.norm_vectors * network.head_dim if network.qk_norm else 0) + network.biases * hidden
    return Parameters(split=split, copied=copied)


def _latent(network: Network, mla: LatentAttention) -> Parameters:
    hidden, heads = network.hidden, network.heads
    query, rank = heads * (mla.qk_nope_dim + mla.qk_rope_dim), mla.q_lora_rank
    copied = hidden * (mla.kv_lora_rank + mla.qk_rope_dim) + mla.kv_lora_rank
    split = mla.kv_lora_rank * heads * (mla.qk_nope_dim + mla.v_head_dim) + heads * mla.v_head_dim * hidden
    if isinstance(rank, Off):
        split += hidden * query
    else:
        split, copied = split + rank * query, copied + hidden * rank + rank
    return Parameters(split=split, copied=copied + network.biases * hidden + _indexer(network, mla))


def _indexer(network: Network, mla: LatentAttention) -> float:
    """The indexers of all layers, spread over those with full attention."""
    indexer = network.indexer
    if isinstance(indexer, Off):
        return 0
    width = network.hidden if isinstance(mla.q_lora_rank, Off) else mla.q_lora_rank
    one = width * indexer.num_heads * indexer.head_dim + network.hidden * (indexer.head_dim + indexer.num_heads)
    leading = min(indexer.leading_layers, network.num_layers)
    picking = leading + (network.num_layers - leading) // indexer.pick_interval
    return (one + 2 * indexer.head_dim) * picking / network.num_layers


def _linear_attention(network: Network) -> Parameters:
    linear = network.linear
    if isinstance(linear, Off):
        return Parameters()
    keys, values = linear.num_key_heads * linear.key_head_dim, linear.num_value_heads * linear.value_head_dim
    split = network.hidden * (2 * keys + 3 * values + 2 * linear.num_value_heads)
    split += (2 * keys + values) * linear.conv_kernel + 2 * linear.num_value_heads
    return Parameters(split=split, copied=linear.value_head_dim)


def _dense_ffn(network: Network) -> Parameters:
    return _ffn(network, network.ffn)


def _ffn(network: Network, width: int) -> Parameters:
    matrices = 3 if network.gated_ffn else 2
    bias = network.biases * (matrices - 1) * width
    return Parameters(split=matrices * network.hidden * width + bias, copied=network.biases * network.hidden)


def _experts(network: Network) -> Parameters:
    moe = network.moe
    if isinstance(moe, Off):
        return Parameters()
    one = _ffn(network, moe.expert_size)
    router = moe.num_experts * (network.hidden + (1 if moe.expert_bias else 0))
    shared = Parameters() if isinstance(moe.shared_expert_size, Off) else _ffn(network, moe.shared_expert_size)
    gate = network.hidden if moe.shared_expert_gate else 0
    routed = Parameters(routed=moe.num_experts * one.total, copied=router + gate)
    return _sum(routed, shared)
