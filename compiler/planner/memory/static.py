"""What a training GPU holds from one step to the next: weights, gradients, the state of the optimizer.

Papers: ZeRO, arXiv:1910.02054, for what is shared among copies of a model; Megatron's distributed optimizer shares the
state of the dense part among dp x cp GPUs and that of routed experts among the copies of the experts.  The first stage
of a pipeline has the embedding and the last one the head, each a table of the vocabulary; a tied head is a copy where
the two are on different GPUs.  Layers that predict further tokens are on the last stage.
"""

from __future__ import annotations

from functools import lru_cache

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import Line, Lines, non_empty
from compiler.planner.memory.network import (
    Network,
    Parameters,
    embedding_parameters,
    head_parameters,
    kinds_parameters,
    last_layer,
    prediction_parameters,
)
from compiler.planner.memory.pipeline import Layout, depth_of, stage_layers

_MOST_KEPT = 4096  # of what was counted for other layouts of the same stages: a search asks it thousands of times


class Sharding(NamedTuple):
    """How FSDP2 shares everything among copies of a model.

    Args:
        groups: of GPUs, each of which holds the whole model in shards (HSDP).
        kept_frac: share of a layer's gathered weights that each GPU keeps from its forward to its backward pass.
        is_on_host: whether the shards, their gradients and the optimizer's state lie in host memory.
        is_pinned: whether that memory is pinned, so that copies go on beside computing.
        reduced: bytes of a gradient's number as it is summed over GPUs.
    """

    groups: int = 1
    kept_frac: float = 0.0
    is_on_host: bool = False
    is_pinned: bool = True
    reduced: float = 4


class Storage(NamedTuple):
    """In how many bytes of a parameter each thing is kept, and what copies of the model share.

    Args:
        shared: nothing; the optimizer's state (Megatron's distributed optimizer); or everything (FSDP2).
        offloaded_frac: share of the optimizer's state that lies in host memory.
        quantised_copies: bytes of further copies of a weight in eight bits that are kept for its products.
        trained: share of the parameters that have gradients; less than all with adapters.
        sharding: how, where copies share everything.
    """

    weight: float = 2
    gradient: float = 4
    master: float = 4
    moments: float = 8
    shared: str = "state"
    offloaded_frac: float = 0.0
    quantised_copies: float = 0.0
    trained: float = 1.0
    computed: float = 2
    sharding: Sharding = Sharding()


class Held(NamedTuple):
    """Parameters that one GPU of a stage has whole, and those of which it keeps the state."""

    dense: float
    routed: float

    @property
    def total(self) -> float:
        """Both."""
        return self.dense + self.routed


def stage_parameters(network: Network, layout: Layout, stage: int) -> Parameters:
    """Return the parameters of a stage, before any of its axes splits them."""
    return _stage_parameters(network, depth_of(layout), stage)


@lru_cache(maxsize=_MOST_KEPT)
def _stage_parameters(network: Network, layout: Layout, stage: int) -> Parameters:
    parts = [kinds_parameters(network, stage_layers(network, layout, stage))]
    is_first, is_last = stage == 0, stage == layout.pp - 1
    if is_first or (is_last and network.mtp_layers):
        parts.append(embedding_parameters(network))
    if is_last:
        head = head_parameters(network)
        has_table = is_first or network.mtp_layers > 0
        parts.append(head._replace(split=0) if network.tied and has_table else head)
        parts.extend([prediction_parameters(network)] * network.mtp_layers)
    return Parameters(*(sum(column) for column in zip(*parts, strict=True)))


def held_parameters(network: Network, layout: Layout, stage: int) -> Held:
    """Return the parameters of one GPU of a stage, whole, as it computes with them."""
    found = stage_parameters(network, layout, stage)
    return Held(found.split / layout.tp + found.copied, found.routed / (layout.ep * layout.etp))


def static_lines(network: Network, layout: Layout, storage: Storage, stage: int) -> Lines:
    """Return what one GPU of a stage holds all the time."""
    whole = held_parameters(network, layout, stage)
    shared = shared_parameters(whole, layout, storage)
    kept = shared if storage.shared == "all" else whole.total
    stated = whole.total if storage.shared == "none" else shared
    on_gpu = 1 - storage.offloaded_frac
    if storage.sharding.is_on_host:
        return ()
    return non_empty(
        Line("weights", kept * storage.weight),
        Line("weights in eight bits", kept * storage.quantised_copies),
        Line("gradients", kept * storage.gradient * storage.trained),
        Line("master weights", stated * storage.master * storage.trained * on_gpu),
        Line("optimizer moments", stated * storage.moments * storage.trained * on_gpu),
    )


def shared_parameters(whole: Held, layout: Layout, storage: Storage) -> float:
    """Return the parameters of which one GPU has the share that is its own."""
    groups = storage.sharding.groups if storage.shared == "all" else 1
    copies, expert_copies = max(1.0, layout.copies / groups), max(1.0, layout.expert_copies / groups)
    return whole.dense / copies + whole.routed / expert_copies


def offloaded_bytes(network: Network, layout: Layout, storage: Storage, stage: int) -> float:
    """Return the optimizer state of one GPU that lies in host memory, with the gradients that are sent there."""
    is_on_host = storage.sharding.is_on_host
    if not storage.offloaded_frac and not is_on_host:
        return 0.0
    whole = held_parameters(network, layout, stage)
    shared = shared_parameters(whole, layout, storage)
    if is_on_host:
        return shared * (storage.weight + storage.trained * (storage.gradient + storage.master + storage.moments))
    stated = whole.total if storage.shared == "none" else shared
    return stated * storage.offloaded_frac * (storage.master + storage.moments + storage.gradient)


def unsharded_lines(network: Network, layout: Layout, storage: Storage, constants: Constants) -> Lines:
    """Return what is gathered of weights that copies share: some layers, or all, and the tables at both ends.

    The table of the vocabulary is gathered for the whole pass, and so is its gradient, where it has one.
    """
    if storage.shared != "all":
        return ()
    layer = kinds_parameters(network, last_layer(network))
    whole = (layer.split / layout.tp + layer.copied + layer.routed / (layout.ep * layout.etp)) * storage.computed
    tables = embedding_parameters(network).split / layout.tp * (1 if network.tied else 2) * storage.computed
    under_way, layers = constants.gathered_layers, float(network.num_layers)
    kept = max(0.0, layers - under_way) * storage.sharding.kept_frac
    return non_empty(
        Line("gathered layers", whole * (under_way + kept)),
        Line("gathered tables", tables * (2 if storage.trained == 1 else 1)),
    )
