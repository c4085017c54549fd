"""The ranks of one trainer as a mesh: copies of the shards, shards, context and tensor parallelism.

    dp_replicate x dp_shard x cp x tp, the last one of neighbours

dp_replicate x dp_shard are the shares of a batch; weights are sharded over dp_shard x cp, since ranks that split a
sequence have the same weights as well.
"""

from __future__ import annotations

from typing import Any, Never

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.machine import Parallel
from runtime.engines.train.fsdp2_context import Context


class Ranks:
    """Where this process is among the ranks, and whom it talks to.

    Args:
        copies: copies of the shards, by which data parallelism is divided: hybrid sharding.

    Raises: SpecError RLC0776 if torch.distributed has another number of ranks than the plan; RLC0778 for ranks that
    would share experts.
    """

    def __init__(self, parallel: Parallel[Never], *, copies: int) -> None:
        sizes = (copies, parallel.dp // copies, parallel.cp, parallel.tp)
        num_ranks = dist.get_world_size()
        if parallel.ep > 1:
            raise SpecError(_shared_experts(parallel))
        if num_ranks != parallel.dp * parallel.cp * parallel.tp:
            raise SpecError(_other_number(parallel, num_ranks))
        self.device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else _CPU
        mesh = init_device_mesh(self.device.type, sizes, mesh_dim_names=("dp_replicate", "dp_shard", "cp", "tp"))
        self.num_slices = parallel.tp
        shards = mesh["dp_shard", "cp"]._flatten("dp_shard_cp")
        self.weights: DeviceMesh = shards if copies == 1 else mesh["dp_replicate", "dp_shard_cp"]
        self.tensor: DeviceMesh = mesh["tp"]
        self.shard_group: Any = shards.get_group()
        self.num_shards, self.shard = shards.size(), shards.get_local_rank()
        shares = mesh["dp_replicate", "dp_shard"]._flatten("dp")
        self.share_group: Any = shares.get_group()
        self.num_shares, self.share = shares.size(), shares.get_local_rank()
        self.context = Context(mesh["cp"].get_group(), parallel.cp, mesh["cp"].get_local_rank())
        self.copy_group: Any = mesh["dp_replicate", "dp_shard", "cp"]._flatten("dp_cp").get_group()
        self.tensor_group: Any = mesh["tp"].get_group()
        self.slice = mesh["tp"].get_local_rank()
        self.is_first = dist.get_rank() == 0


_CPU = torch.device("cpu")


def _other_number(parallel: Parallel[Never], num_ranks: int) -> Diagnostic:
    wanted = parallel.dp * parallel.cp * parallel.tp
    return Diagnostic(
        "RLC0776",
        f"the plan spreads the trainer over dp x cp x tp = {parallel.dp} x {parallel.cp} x {parallel.tp} = {wanted} "
        f"ranks, and {num_ranks} have met",
        help=(Help(f"start {wanted} processes of the trainer, or choose a layout for {num_ranks}"),),
        paths=("parallel.dp", "parallel.cp", "parallel.tp"),
    )


def _shared_experts(parallel: Parallel[Never]) -> Diagnostic:
    return Diagnostic(
        "RLC0778",
        f"parallel.ep = {parallel.ep}, and a trainer on FSDP2 has all experts of a layer on every rank",
        help=(Help("set parallel.ep = 1", sets=(("parallel.ep", "1"),)), Help("or train with Megatron")),
        paths=("parallel.ep",),
    )
