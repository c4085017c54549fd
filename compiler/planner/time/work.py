"""What one token asks of one layer of a network: FLOPs by how they are spread, and bytes of what only moves data.

Counted once for a network; every layout of it then is arithmetic over a few numbers.  A multiplication and an addition
are two FLOPs; a causal mask leaves half of the pairs of a sequence.  Paper: arXiv:2104.04473, appendix, for the
products; arXiv:2405.04434, eq. 1 to 9, for latent attention.  The states of linear attention are not counted.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.planner.memory.network import LayerKinds, Network, Parameters, kinds_parameters

_HALF = 2  # bytes of a number in bf16
_LOGIT_BYTES = 14.0  # a logit written in bf16, read, and written and read once more in fp32


class Work(NamedTuple):
    """What a token asks of a forward pass through a part of a network.

    Args:
        split: FLOPs of products that tensor parallelism splits.
        copied: FLOPs of products of which every tensor-parallel rank has the weights.
        routed: FLOPs of the experts that the token visits.
        pair: FLOPs of attention for each of the pairs of a sequence, n x n for n tokens.
        inside: bytes of elementwise kernels whose data tensor parallelism splits.
        outside: bytes of those whose data only sequence parallelism splits: norms and residuals.
        moved: bytes of sorting tokens by expert and back, and of the experts' activations.
        cast: numbers that products take, which are cast where they are of eight bits.
    """

    split: float = 0.0
    copied: float = 0.0
    routed: float = 0.0
    pair: float = 0.0
    inside: float = 0.0
    outside: float = 0.0
    moved: float = 0.0
    cast: float = 0.0

    def flops(self, tokens: float, pairs: float) -> float:
        """Return the FLOPs of a forward pass over so many tokens and pairs."""
        return (self.split + self.copied + self.routed) * tokens + self.pair * pairs


class NetworkWork(NamedTuple):
    """The work of one layer of each kind, of the head, and of all layers that predict further tokens."""

    full: Work
    linear: Work
    dense: Work
    sparse: Work
    head: Work
    prediction: Work

    def layers(self, kinds: LayerKinds) -> Work:
        """Return the work of so many layers of each kind."""
        return add(
            (self.full, kinds.full), (self.linear, kinds.linear), (self.dense, kinds.dense), (self.sparse, kinds.sparse)
        )


def add(*parts: tuple[Work, float]) -> Work:
    """Return the sum of parts, each so many times."""
    (first, times), *others = parts
    sums = [value * times for value in first]
    for part, count in others:
        if count:
            sums = [total + value * count for total, value in zip(sums, part, strict=True)]
    return Work._make(sums)


def network_work(network: Network) -> NetworkWork:
    """Return the work of the parts of a network."""
    full = _mixing(network, LayerKinds(full=1), _full_pair(network))
    linear = _mixing(network, LayerKinds(linear=1), 0.0)
    dense, sparse = _dense(network), _sparse(network)
    head = Work(
        split=2.0 * network.vocab * network.hidden, inside=_LOGIT_BYTES * network.vocab, outside=8.0 * network.hidden
    )
    last = sparse if not isinstance(network.moe, Off) else dense
    joined = Work(split=4.0 * network.hidden**2, outside=12.0 * network.hidden)
    prediction = add(*((part, network.mtp_layers) for part in (full, last, joined, head)))
    return NetworkWork(full, linear, dense, sparse, head, prediction)


def raised_work(network: Network) -> Work:
    """Return what raises a token's latent vectors to heads in one layer of latent attention, and turns them."""
    mla = network.mla
    if isinstance(mla, Off):
        return Work()
    keys, values = mla.qk_nope_dim + mla.qk_rope_dim, mla.qk_nope_dim + mla.v_head_dim
    query = 0 if isinstance(mla.q_lora_rank, Off) else mla.q_lora_rank
    return Work(
        split=2.0 * network.heads * (query * keys + mla.kv_lora_rank * values), inside=_HALF * 4 * network.heads * keys
    )


def activated_work(network: Network) -> Work:
    """Return what the activation between the products of the experts moves in one layer."""
    moe = network.moe
    return Work() if isinstance(moe, Off) else Work(moved=3.0 * _HALF * moe.experts_per_token * moe.expert_size)


def _mixing(network: Network, kinds: LayerKinds, pair: float) -> Work:
    """Attention of a layer: its products, and its norm, rotation and residual."""
    parts = kinds_parameters(network, kinds)
    if not parts.total:
        return Work()
    width = _mixed_width(network, is_linear=bool(kinds.linear))
    norms = 2 if network.post_norms else 1
    return Work(
        split=2 * parts.split,
        copied=2 * parts.copied,
        pair=pair,
        inside=_HALF * 2 * width,
        outside=_HALF * (2 * norms + 3) * network.hidden,
        cast=network.hidden + network.heads * network.head_dim,
    )


def _mixed_width(network: Network, *, is_linear: bool) -> float:
    """Numbers of a token that are normed, rotated, convolved or gated: read and written once."""
    linear, mla = network.linear, network.mla
    if is_linear and not isinstance(linear, Off):
        keys, values = linear.num_key_heads * linear.key_head_dim, linear.num_value_heads * linear.value_head_dim
        return 2 * (2 * keys + values) + 3 * values
    if isinstance(mla, Off):
        return (network.heads + network.kv_heads) * network.head_dim * (2 if network.qk_norm else 1)
    return 2 * network.heads * (mla.qk_nope_dim + mla.qk_rope_dim)


def _full_pair(network: Network) -> float:
    """Scores and weighted values of a pair, half of which the mask leaves: 2 x 2 / 2 for each number of a head."""
    mla, indexer = network.mla, network.indexer
    if isinstance(mla, Off):
        return 2.0 * network.heads * network.head_dim
    if not isinstance(indexer, Off):
        return float(indexer.num_heads * indexer.head_dim)
    return float(network.heads * (mla.qk_nope_dim + mla.qk_rope_dim + mla.v_head_dim))


def _dense(network: Network) -> Work:
    parts = kinds_parameters(network, LayerKinds(dense=1))
    return _feed_forward(network, parts, network.ffn)


def _feed_forward(network: Network, parts: Parameters, width: float) -> Work:
    return Work(
        split=2 * parts.split,
        copied=2 * parts.copied,
        inside=_HALF * (3 if network.gated_ffn else 2) * width,
        outside=_HALF * 5 * network.hidden,
        cast=network.hidden + width,
    )


def _sparse(network: Network) -> Work:
    """Experts that a token visits, the shared one, and the router; a token is sorted in, and what comes back added."""
    moe = network.moe
    if isinstance(moe, Off):
        return Work()
    parts = kinds_parameters(network, LayerKinds(sparse=1))
    shared = 0 if isinstance(moe.shared_expert_size, Off) else moe.shared_expert_size
    visits = moe.experts_per_token
    base = _feed_forward(network, parts, shared)
    return base._replace(
        routed=2 * parts.routed * visits / moe.num_experts,
        outside=base.outside + 4.0 * 3 * moe.num_experts,
        moved=_HALF * visits * (4 * network.hidden + 3 * moe.expert_size),
        cast=base.cast + visits * (network.hidden + moe.expert_size),
    )
