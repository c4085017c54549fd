"""What a layer keeps of a micro-batch for its backward pass, by module, and what recomputation leaves of it.

Paper: Korthikanti et al., arXiv:2205.05198, table 2, tensor by tensor, so that it holds for grouped and latent
attention, gated feed-forwards and experts too.  Two bytes a number, one a dropout mask, four a sum of exponentials.
Fused attention keeps no scores; attention that is not fused keeps those of every pair.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import Line, Lines, non_empty
from compiler.planner.memory.network import LayerKinds, Network
from compiler.planner.memory.pipeline import Layout

_HALF = 2  # bytes of a number in bf16
_FULL = 4  # and in fp32
ELEMENTWISE = "elementwise"
_LAYERS_UNDER_WAY = 2  # whose inputs are on the GPU while the others' are on the host: one computed, one fetched


class Recompute(NamedTuple):
    """What is computed again in the backward pass.

    Args:
        granularity: nothing, some modules, or whole layers.
        modules: those of Megatron's recompute_modules, or `elementwise`: all but products and attention.
        method: whether layers are cut into groups of num_layers, or the first num_layers of a chunk are recomputed.
        num_layers: layers of such a group, or so many of a chunk.
        is_offloaded: whether the inputs of layers wait in host memory.
    """

    granularity: str = "none"
    modules: tuple[str, ...] = ()
    method: str = "uniform"
    num_layers: int = 1
    is_offloaded: bool = False


class Kernels(NamedTuple):
    """How a layer is computed.

    Args:
        fuses_attention: attention keeps no scores.
        fuses_layers: norms, gated activations and the weighting of routed tokens keep their inputs only, as
            Transformer Engine has them; in plain PyTorch they keep fp32 copies and what lies in between as well.
        is_plain_attention: attention is PyTorch's own.
    """

    fuses_attention: bool = True
    fuses_layers: bool = True
    is_plain_attention: bool = False


class Tokens(NamedTuple):
    """One micro-batch on one GPU.

    Args:
        count: tokens of the micro-batch, before context parallelism splits them.
        pairs: sum over its sequences of their lengths squared.
        imbalance: tokens of the fullest GPU that has experts, over the average.
    """

    count: float
    pairs: float
    imbalance: float = 1.0


class Pass(NamedTuple):
    """One micro-batch going through a network, and what is kept of it."""

    network: Network
    layout: Layout
    tokens: Tokens
    recompute: Recompute = Recompute()
    kernels: Kernels = Kernels()


class Kept(NamedTuple):
    """Bytes that one layer keeps of one micro-batch on one GPU, module by module."""

    norms: float = 0.0
    projections: float = 0.0
    scores: float = 0.0
    context: float = 0.0
    ffn: float = 0.0
    experts: float = 0.0
    masks: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def layer_kept(one: Pass, kinds: LayerKinds) -> Kept:
    """Return what a number of layers of each kind keep of one micro-batch where none is recomputed whole."""
    network, layout, tokens, recompute, kernels = one
    here = tokens.count / layout.cp  # tokens of one GPU, before tensor parallelism splits them
    outside, inside = here / layout.sequence_ways, here / layout.tp
    pairs = tokens.pairs / layout.cp / layout.tp
    again = recompute.modules if recompute.granularity == "selective" else ()
    residuals = 2 * network.hidden * (_HALF if kernels.fuses_layers else _HALF + _FULL)
    inputs = 0.0 if "layernorm" in again else 2 * network.hidden * _HALF
    if ELEMENTWISE in again:  # what goes in, and what the last products of both halves return
        residuals, inputs = 3 * network.hidden * _HALF, 0.0
    needs_scores = not kernels.fuses_attention and "core_attn" not in again
    narrow = 0.0 if isinstance(network.linear, Off) else _linear_kept(network) * inside
    dense = 0.0 if "mlp" in again else _ffn_kept(network, network.ffn, kernels, again) * inside
    return Kept(
        norms=(residuals + inputs) * outside * kinds.all,
        projections=_projections(one, again, inside=inside, outside=outside) * kinds.full + narrow * kinds.linear,
        scores=network.heads * (5 if network.dropout else 2) * pairs * kinds.full if needs_scores else 0.0,
        context=_context(network) * inside * kinds.full,
        ffn=dense * kinds.dense,
        experts=_experts_kept(one, again) * kinds.sparse,
        masks=(2 * network.hidden * outside if network.dropout else 0.0) * kinds.all,
    )


def activation_lines(one: Pass, kinds: LayerKinds, in_flight: float) -> Lines:
    """Return what the layers of a stage keep of all micro-batches under way."""
    recompute = one.recompute
    if recompute.granularity != "full":
        return kept_lines(layer_kept(one, kinds.times(in_flight)))
    layout, whole = one.layout, kinds.all
    frac = min(1.0, recompute.num_layers * layout.vpp / whole) if recompute.method == "block" and whole else 1.0
    each = recompute.num_layers if recompute.method == "uniform" else 1
    inputs = one.network.hidden * _HALF * one.tokens.count / layout.cp / layout.sequence_ways
    kept = layer_kept(one, kinds.times((1 - frac) * in_flight))
    waiting = _LAYERS_UNDER_WAY if recompute.is_offloaded else whole * frac / max(1, each) * in_flight
    return non_empty(Line("layer inputs", inputs * waiting), *kept_lines(kept))


def kept_lines(kept: Kept) -> Lines:
    """Return them with names that people know."""
    return non_empty(
        Line("norms and residuals", kept.norms + kept.masks),
        Line("attention projections", kept.projections + kept.context),
        Line("attention scores", kept.scores),
        Line("feed-forward", kept.ffn),
        Line("experts", kept.experts),
    )


def working_bytes(one: Pass, kinds: LayerKinds, constants: Constants) -> float:
    """Return what exists beside what is kept while one layer is differentiated.

    Gradients of what the layer keeps, a share of them at once; and what was to be computed again, of one layer, or of
    one group of layers.
    """
    average = kinds.times(1 / kinds.all) if kinds.all else kinds
    recompute = one.recompute
    whole = layer_kept(one._replace(recompute=Recompute()), average).total
    if recompute.granularity == "full":
        again = whole * (recompute.num_layers if recompute.method == "uniform" else 1)
    else:
        again = whole - layer_kept(one, average).total
    return again + constants.gradients_frac * whole


def _projections(one: Pass, again: tuple[str, ...], *, inside: float, outside: float) -> float:
    """Queries, keys and values as attention takes them, and what they are made of."""
    network, mla, kernels = one.network, one.network.mla, one.kernels
    if isinstance(mla, Off):
        width = (network.heads + 2 * network.kv_heads) * network.head_dim
        before_norm = (network.heads + network.kv_heads) * network.head_dim if network.qk_norm else 0
        gate = network.heads * network.head_dim if network.attention_gate else 0
        each = 0 if ELEMENTWISE in again else _HALF if kernels.fuses_layers else _HALF + _FULL
        return (_HALF * (width + gate) + each * before_norm) * inside
    wide = 2 * network.heads * (mla.qk_nope_dim + mla.qk_rope_dim) + network.heads * mla.v_head_dim
    rank = 0 if isinstance(mla.q_lora_rank, Off) else mla.q_lora_rank
    narrow = 2 * rank + 2 * mla.kv_lora_rank + mla.qk_rope_dim  # before and behind their norms
    expanded = 0.0 if "mla_up_proj" in again else _HALF * wide * inside
    return expanded + _HALF * narrow * outside


def _context(network: Network) -> float:
    """Bytes a token of attention's output, and of the logarithm of its sum of exponentials."""
    width = network.head_dim if isinstance(network.mla, Off) else network.mla.v_head_dim
    return network.heads * (_HALF * width + 4)


def _linear_kept(network: Network) -> float:
    """Bytes a token of a gated delta net: its inputs before and behind the convolution, gate, output, norm, decays."""
    linear = network.linear
    if isinstance(linear, Off):
        return 0.0
    keys, values = linear.num_key_heads * linear.key_head_dim, linear.num_value_heads * linear.value_head_dim
    return _HALF * (2 * (2 * keys + values) + 3 * values) + 8 * linear.num_value_heads


def _ffn_kept(network: Network, width: float, kernels: Kernels, again: tuple[str, ...]) -> float:
    """Bytes a token: the input of the activation, both halves of a gated one, and its output.

    A gated activation that is not fused keeps its first half before and behind the activation.
    """
    if ELEMENTWISE in again:
        return _HALF * width * (2 if network.gated_ffn else 1)
    return _HALF * width * ((3 if kernels.fuses_layers else 4) if network.gated_ffn else 2)


def _experts_kept(one: Pass, again: tuple[str, ...]) -> float:
    """Bytes of one layer of experts: routed tokens, what each expert keeps of them, what comes back, the router.

    Tokens are spread over all GPUs of a stage and come together on those of an expert; with as many tokens for each
    expert, a GPU has the share of its experts, times the imbalance.
    """
    network, layout, tokens, kernels = one.network, one.layout, one.tokens, one.kernels
    moe = network.moe
    if isinstance(moe, Off):
        return 0.0
    outside = tokens.count / layout.cp / layout.sequence_ways
    routed = tokens.count / layout.cp / layout.tp * moe.experts_per_token * layout.etp * tokens.imbalance
    shared = 0 if isinstance(moe.shared_expert_size, Off) else moe.shared_expert_size
    inner = _ffn_kept(network, moe.expert_size, kernels, again) / layout.etp
    if "moe" in again:
        return 0.0
    if "moe_act" in again:
        inner -= _HALF * moe.expert_size / layout.etp
    router = 8 * moe.num_experts * outside
    common = (
        0.0
        if "shared_experts" in again
        else _ffn_kept(network, shared, kernels, again) * tokens.count / layout.cp / layout.tp
    )
    if ELEMENTWISE in again:  # what the second product returns; what goes into the first is gathered again
        return routed * (_HALF * network.hidden + inner) + router + common
    weighted = 0 if kernels.fuses_layers else 2 * _FULL  # fp32, before and behind the weights of the router
    return routed * ((2 * _HALF + weighted) * network.hidden + inner) + router + common
