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
        context_gib: the driver's context and loaded kernels, in GiB of a process on a GPU.
        communicator_mib: buffers of one communicator of NCCL or RCCL, in MiB of a GPU.
        graphs_gib: captured graphs of an engine's decode steps, in GiB of a GPU.
        engine_workspace_gib: workspaces of an engine's attention kernels, in GiB of a GPU.
        process_gib: an interpreter with its libraries, in GiB of host memory.
    """

    workspace_mib: float = 76.0
    imbalance: float = 1.1
    gathered_layers: float = 4.6
    gradients_frac: float = 0.43
    reserved_frac: float = 0.05
    context_gib: float = 0.75
    communicator_mib: float = 64.0
    graphs_gib: float = 1.0
    engine_workspace_gib: float = 0.5
    process_gib: float = 3.0


CONSTANTS = Constants()

# Bytes that a stream of matrix products has for itself, which are written down and not measured: Transformer Engine
# takes 32 MiB from Hopper on and 4 MiB before; products of experts, one group at a time, run on four more streams.
STREAM_MIB = {True: 32, False: 4}
EXPERT_STREAMS = 4

# Bytes of a packed token, in every micro-batch under way: its id, its position and the id that follows it, in eight
# bytes each; the loss mask, the advantage and the log-probs of engine, old policy and reference, in four each.
PACKED_TOKEN_BYTES = 3 * 8 + 5 * 4
