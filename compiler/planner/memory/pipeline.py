"""Which layers a pipeline stage has, and how many micro-batches it has under way when it holds most.

One forward, one backward (arXiv:2104.04473): stage i of p has p - i micro-batches under way.  Interleaved over v chunks
of layers, it has run 2 (p - i - 1) + (v - 1) p chunks forward before its first backward, and one more with it; never
more than there are.
"""

from __future__ import annotations

from functools import lru_cache

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.memory.network import LayerKinds, Network, layer_kinds

_MOST_CHUNKS = 4096
_MOST_KEPT = 4096  # of what was counted for other layouts of the same stages: a search asks it thousands of times


class Layout(NamedTuple):
    """How one copy of a model is spread over GPUs.

    `first_layers` and `last_layers` are those of the first and the last stage, 0 where all stages have as many;
    `copies` is how many GPUs hold the same part of the dense weights, context parallelism included.
    """

    tp: int = 1
    sp: bool = False
    pp: int = 1
    vpp: int = 1
    first_layers: int = 0
    last_layers: int = 0
    cp: int = 1
    ep: int = 1
    etp: int = 1
    dp: int = 1

    @property
    def copies(self) -> int:
        """GPUs that hold the same part of the dense weights."""
        return self.dp * self.cp

    @property
    def expert_copies(self) -> float:
        """GPUs that hold the same experts."""
        return max(1.0, self.tp * self.cp * self.dp / (self.ep * self.etp))

    @property
    def sequence_ways(self) -> int:
        """Over how many GPUs the sequence is split outside of attention, context parallelism apart."""
        return self.tp if self.sp else 1


def stage_layers(network: Network, layout: Layout, stage: int) -> LayerKinds:
    """Return the layers of a stage, of all of its chunks."""
    return _stage_layers(network, depth_of(layout), stage)


def depth_of(layout: Layout) -> Layout:
    """Return what of a layout decides which layers a stage has: equal for many of them."""
    first, last = layout.first_layers, layout.last_layers
    return Layout(pp=layout.pp, vpp=layout.vpp, first_layers=first, last_layers=last)


@lru_cache(maxsize=_MOST_KEPT)
def _stage_layers(network: Network, layout: Layout, stage: int) -> LayerKinds:
    layers, pp = network.num_layers, layout.pp
    if layout.vpp == 1 or layout.vpp > _MOST_CHUNKS:
        first = _first_layer(network, layout, stage)
        return layer_kinds(network, first, _first_layer(network, layout, stage + 1))
    kinds, each = LayerKinds(), layers / (pp * layout.vpp)
    for chunk in range(layout.vpp):
        at = chunk * pp + stage
        kinds = kinds.plus(layer_kinds(network, round(at * each), round((at + 1) * each)))
    return kinds


def in_flight(layout: Layout, stage: int, micro_batches: int) -> float:
    """Return the micro-batches of which a stage holds all of its layers at once; with chunks it is a fraction."""
    behind = layout.pp - stage - 1
    if layout.vpp == 1:
        return min(micro_batches, behind + 1)
    chunks = 2 * behind + (layout.vpp - 1) * layout.pp + 1
    return min(micro_batches * layout.vpp, chunks) / layout.vpp


def _first_layer(network: Network, layout: Layout, stage: int) -> int:
    layers, pp = network.num_layers, layout.pp
    if stage >= pp:
        return layers
    first, last = layout.first_layers, layout.last_layers
    between = pp - (first > 0) - (last > 0)
    if between < 1:
        return min(stage * first if first else stage * layers // pp, layers)
    rest = max(0, layers - first - last)
    inner = stage - (first > 0) if first else stage
    if stage == 0:
        return 0
    return first + inner * rest // between
