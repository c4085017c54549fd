"""The numbers of the memory model that were measured and not counted, at most a dozen.

Each has a physical meaning and a unit.  `python -m checks.planner --fit` finds those that are marked as fitted again,
on the sources that it fits on; the others are what the vendors' and the frameworks' pages say.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class Constants(NamedTuple):
    """What is not counted from the facts of a model.

    Args:
        workspace_mib: fitted; buffers that libraries keep for matrix products, attention and norms, in MiB of a GPU.
        imbalance: routed tokens of the fullest GPU of an expert group over the average.
        gathered_layers: fitted; copies of one layer's weights, in its own format, that FSDP2 has gathered at once.
        gradients_frac: fitted; gradients of what a layer keeps that exist at once, over what it keeps.
        reserved_frac: fitted; what the allocator keeps beside what is allocated, over what a step allocates.
        context_gib: the driver's context and loaded kernels, in GiB of a process.
        communicator_mib: buffers of one communicator of NCCL, in MiB of a GPU.
        graph_mib: one captured graph of a decode step, in MiB of a GPU, for each thousand layers of a batch.
        engine_workspace_gib: what a rollout engine computes in, beside weights and cache, in GiB of a GPU.
    """

    workspace_mib: float = 76.0
    imbalance: float = 1.1
    gathered_layers: float = 4.6
    gradients_frac: float = 0.43
    reserved_frac: float = 0.05
    context_gib: float = 0.75
    communicator_mib: float = 64.0
    graph_mib: float = 25.0
    engine_workspace_gib: float = 1.5


CONSTANTS = Constants()

# Bytes that a stream of matrix products has for itself, which are written down and not measured: Transformer Engine
# takes 32 MiB from Hopper on and 4 MiB before; products of experts, one group at a time, run on four more streams.
STREAM_MIB = {True: 32, False: 4}
EXPERT_STREAMS = 4
