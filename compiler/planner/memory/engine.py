"""What a GPU of a rollout engine holds: weights, cache, recurrent states, graphs, and what a step computes in.

SGLang takes a share of the GPU for weights and cache together (`mem_fraction_static`), vLLM for everything
(`gpu_memory_utilization`); the cache is what is left of it.  Without a share that a spec gives, no more cache is
counted than all sequences take that are decoded at once, each at its longest.  Heads are spread over the GPUs of an
engine, but no further than there are key and value heads; latent attention caches one vector, which every GPU has
whole.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import GIB, Line, Lines, non_empty, total
from compiler.planner.memory.network import (
    Network,
    attention_parameters,
    embedding_parameters,
    layer_kinds,
    network_of,
)
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import stage_parameters
from compiler.planner.ranks import BF16_BYTES, EngineFormats, engine_sequence_bytes
from compiler.planner.weight_formats import PLAIN, WeightFormat

CACHE = "KV cache"  # what an engine makes as large as what is left
_LOGIT_BYTES = 6  # in bf16, and in fp32 as they are sampled from


class EngineJob(NamedTuple):
    """All that decides the memory of a GPU that generates.

    Args:
        gpus: of one engine.
        weights: in which format the matrices of layers are kept.
        cache_bytes: of one cached number.
        sequences: decoded at once.
        context: longest sequence, in tokens.
        prefill_tokens: of one step that reads prompts.
        pool_bytes: what weights and cache may take together.
        is_pool_given: whether the engine was told to take so much, whatever it needs.
        pool_has_all: whether graphs and workspaces are taken of the same share.
        copies_attention: whether each GPU has all of attention and its own sequences (DP attention).
    """

    model: Model[object]
    gpus: int
    sequences: int
    context: int
    pool_bytes: float
    is_pool_given: bool = False
    weights: WeightFormat = PLAIN
    cache_bytes: float = 2
    prefill_tokens: int = 8192
    pool_has_all: bool = False
    has_graphs: bool = True
    copies_attention: bool = False


def engine_lines(job: EngineJob, constants: Constants) -> Lines:
    """Return what a GPU holds while text is sampled."""
    network = network_of(job.model)
    weights, working = weight_lines(job), _working_lines(job, network, constants)
    taken = total(weights) + (total(working) if job.pool_has_all else 0.0)
    cache = max(0.0, job.pool_bytes - taken)
    if not job.is_pool_given:
        cache = min(cache, _wanted_cache(job))
    return (*weights, *non_empty(Line(CACHE, cache), Line("recurrent states", _states(job, network))), *working)


def largest_pool(job: EngineJob, room: float, constants: Constants) -> float:
    """Return the most that weights and cache may take together, where an engine may take so many bytes of a GPU."""
    working = total(_working_lines(job, network_of(job.model), constants))
    outside = _states(job, network_of(job.model)) + (0.0 if job.pool_has_all else working)
    return max(0.0, room - outside)


def weight_lines(job: EngineJob) -> Lines:
    """Return the weights on one GPU."""
    network = network_of(job.model)._replace(mtp_layers=0)
    parts = stage_parameters(network, Layout(), 0)
    tables = embedding_parameters(network).split * (1 if network.tied else 2)
    attention = attention_parameters(network, layer_kinds(network, 0, network.num_layers)).split
    copied = attention * (1 - 1 / job.gpus) if job.copies_attention else 0.0
    matrices = (parts.split - tables + parts.routed) / job.gpus + copied
    return (Line("engine weights", matrices * job.weights.bytes + (tables / job.gpus + parts.copied) * BF16_BYTES),)


def _wanted_cache(job: EngineJob) -> float:
    ways = 1 if job.copies_attention else job.gpus
    sequences = -(-job.sequences // job.gpus) if job.copies_attention else job.sequences
    return sequences * engine_sequence_bytes(job.model, ways, job.context, EngineFormats(cache=job.cache_bytes))


def _states(job: EngineJob, network: Network) -> float:
    """The state of each gated delta net, a matrix for each head in fp32, and the tokens that its convolution sees."""
    linear = network.linear
    if isinstance(linear, Off):
        return 0.0
    layers = layer_kinds(network, 0, network.num_layers).linear
    keys, values = linear.num_key_heads * linear.key_head_dim, linear.num_value_heads * linear.value_head_dim
    matrix = linear.num_value_heads * linear.key_head_dim * linear.value_head_dim * 4
    window = (2 * keys + values) * (linear.conv_kernel - 1) * BF16_BYTES
    return layers * job.sequences * (matrix + window) / job.gpus


def _working_lines(job: EngineJob, network: Network, constants: Constants) -> Lines:
    """One layer of a step that reads prompts, the logits of all sequences, kernels' workspaces, graphs."""
    moe = network.moe
    width = network.ffn if isinstance(moe, Off) else moe.experts_per_token * (moe.expert_size + network.hidden)
    layer = job.prefill_tokens * BF16_BYTES * (4 * network.hidden + 3 * width / job.gpus)
    return non_empty(
        Line("prompt step", layer),
        Line("sampling", job.sequences * network.vocab * _LOGIT_BYTES),
        Line("engine workspaces", constants.engine_workspace_gib * GIB),
        Line("captured graphs", constants.graphs_gib * GIB if job.has_graphs else 0.0),
    )
