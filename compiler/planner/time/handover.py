"""How long weights take from the trainer to the engines, and how long both sides take to make room for one another.

Every tensor is gathered from the ranks that share it and handed over by itself, or in a bucket; its fixed cost decides
for networks with many experts.  Colocated, data stays within a machine; else it is broadcast over the network, and each
engine's GPU takes what it needs of it.  Colocated sides keep in host memory what they do not need.
"""

from __future__ import annotations

from functools import lru_cache

from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.planner.memory.network import Network, kinds_parameters, layer_kinds
from compiler.planner.memory.pipeline import Layout
from compiler.planner.time.constants import LINK_FRAC, PAUSE_GB_PER_S, RESUME_GB_PER_S, TENSOR_MS
from compiler.planner.time.links import Group, bandwidth

_GIGA, _HALF = 1e9, 2


def sync_seconds(network: Network, layout: Layout, gpu: Gpu, *, is_shared: bool, number_bytes: float = _HALF) -> float:
    """Return how long the engines' copies of the weights take to become those of the trainer.

    Args:
        is_shared: whether both sides have the same GPUs.
        number_bytes: of a number on its way.
    """
    size = total_parameters(network) * number_bytes
    ranks = layout.tp * layout.pp * max(layout.cp, 1) * (layout.dp if layout.ep > 1 else 1)
    gathered = size / bandwidth(Group(max(2, ranks)), gpu, LINK_FRAC) if ranks > 1 else 0.0
    sent = 0.0 if is_shared else size / max(1.0, gpu.nic_gbit_per_s / 8 * _GIGA * LINK_FRAC)
    return tensors_of(network) * TENSOR_MS * 1e-3 + max(gathered, sent)


def swap_seconds(size: float) -> float:
    """Return how long a GPU takes to move so many bytes to the host, and later back."""
    return size / (PAUSE_GB_PER_S * _GIGA) + size / (RESUME_GB_PER_S * _GIGA)


def exchange_weights_seconds(size: float) -> float:
    """Return how long a GPU takes to compute with other weights of so many bytes, which wait in host memory.

    Its own are moved away, the others in, and its own back.
    """
    return size / (PAUSE_GB_PER_S * _GIGA) + 2 * size / (RESUME_GB_PER_S * _GIGA)


@lru_cache(maxsize=16)  # a search asks it of the same network thousands of times
def tensors_of(network: Network) -> float:
    """Return the tensors of a checkpoint: nine of a layer with its norms and projections, three of each expert."""
    moe = network.moe
    kinds = layer_kinds(network, 0, network.num_layers)
    each = (
        0 if isinstance(moe, Off) else 3 * moe.num_experts + 1 + (0 if isinstance(moe.shared_expert_size, Off) else 3)
    )
    return 3 + 6 * kinds.all + 3 * kinds.dense + each * kinds.sparse


@lru_cache(maxsize=16)
def total_parameters(network: Network) -> float:
    """Return the parameters of a network, without layers that predict further tokens."""
    tables = network.vocab * network.hidden * (1 if network.tied else 2)
    return kinds_parameters(network, layer_kinds(network, 0, network.num_layers)).total + tables
