"""What a GPU holds while it trains on a micro-batch, at the fullest moment, stage by stage of a pipeline.

There are two moments to compare: on the last stage when the loss has been computed and its gradient begins; and on any
stage while a layer is differentiated, with all the micro-batches under way that its place in the pipeline asks for.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.planner.memory.activations import Kernels, Pass, Recompute, Tokens, activation_lines, working_bytes
from compiler.planner.memory.constants import EXPERT_STREAMS, PACKED_TOKEN_BYTES, STREAM_MIB, Constants
from compiler.planner.memory.lines import MIB, Line, Lines, non_empty, total
from compiler.planner.memory.loss import Loss, loss_lines
from compiler.planner.memory.network import Network, last_layer
from compiler.planner.memory.pipeline import Layout, in_flight, stage_layers
from compiler.planner.memory.static import Storage, static_lines, unsharded_lines


class Job(NamedTuple):
    """All that decides the memory of a training GPU.

    Args:
        micro_batches: of one optimizer step, on one copy of the model.
        has_new_kernels: whether the GPU is of Hopper's generation or later, or of AMD's third and later.
        reserves: whether to count what the allocator keeps, and not only what is allocated.
        groups_experts: whether the products of a GPU's experts are computed as one group, on streams of their own.
    """

    network: Network
    layout: Layout
    storage: Storage
    recompute: Recompute
    tokens: Tokens
    loss: Loss
    micro_batches: int = 1
    kernels: Kernels = Kernels()
    has_new_kernels: bool = True
    groups_experts: bool = True
    reserves: bool = False

    def one_pass(self, constants: Constants) -> Pass:
        """Return a micro-batch on its way; where experts are on several GPUs, one of them has more than its part."""
        imbalance = constants.imbalance if self.layout.ep > 1 else 1.0
        tokens = self.tokens._replace(imbalance=imbalance)
        return Pass(self.network, self.layout, tokens, self.recompute, self.kernels)


def static_memory(job: Job, stage: int, constants: Constants) -> Lines:
    """Return what a GPU of a stage holds between two steps, with the workspaces that its kernels keep."""
    streams = 1 if isinstance(job.network.moe, Off) or not job.groups_experts else 1 + EXPERT_STREAMS
    workspace = constants.workspace_mib + streams * STREAM_MIB[job.has_new_kernels]
    return (
        *static_lines(job.network, job.layout, job.storage, stage),
        Line("kernel workspaces", workspace * MIB),
    )


def train_lines(job: Job, stage: int, constants: Constants) -> Lines:
    """Return what a GPU of a stage holds at its fullest moment, as its allocator counts it."""
    network, layout, last = job.network, job.layout, job.layout.pp - 1
    kinds = stage_layers(network, layout, stage)
    one = job.one_pass(constants)
    under_way = in_flight(layout, stage, job.micro_batches)
    kept = activation_lines(one, kinds, under_way)
    packed = Line("packed batches", job.tokens.count / layout.cp * under_way * PACKED_TOKEN_BYTES)
    if stage == last and network.mtp_layers:
        predicting = last_layer(network).times(network.mtp_layers)
        kept += non_empty(Line("prediction layers", total(activation_lines(one, predicting, 1))))
    working = working_bytes(one, kinds, constants)
    moments = [non_empty(Line("one layer backward", working))]
    if stage == last:
        moments.append(loss_lines(network, layout, job.loss, job.tokens.count))
    fullest = max(moments, key=total)
    moving = (*unsharded_lines(network, layout, job.storage, constants), packed, *kept, *fullest)
    lost = total(moving) * constants.reserved_frac if job.reserves else 0.0
    return (*static_memory(job, stage, constants), *moving, *non_empty(Line("fragmentation", lost)))


def fullest_stage(job: Job, constants: Constants) -> tuple[int, Lines]:
    """Return the stage whose GPUs hold most, and what they hold; those in between are like the second one."""
    last = job.layout.pp - 1
    stages = sorted({0, min(1, last), last})
    return max(((stage, train_lines(job, stage, constants)) for stage in stages), key=lambda found: total(found[1]))
