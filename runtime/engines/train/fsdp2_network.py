"""A model spread over ranks by torch.distributed.fsdp.fully_shard: each layer is whole only while it is computed.

Weights are read one layer at a time and the rest of a layer is let go as soon as it is cut, so no rank ever holds the
model.  The optimizer and checkpoints work on the local parts, which stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Never, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from typing_extensions import override

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.training import Train
from runtime.engines.train.chunked_divergence import Side
from runtime.engines.train.chunked_logprobs import HeadSpec, Vocabulary
from runtime.engines.train.forward import states
from runtime.engines.train.fsdp2_context import ContextShare, context_share, of_all_ranks
from runtime.engines.train.fsdp2_shards import Piece, part_of, parts_of_all, whole_of
from runtime.engines.train.fsdp2_tensor import TensorParallel
from runtime.engines.train.network import Network
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch, filled_up, on_device

if TYPE_CHECKING:
    from runtime.engines.train.routing import Routing

Result = TypeVar("Result")


class Root(nn.Module):
    """What fully_shard takes for the root: the model, and a head of its own.  A call of it is a call of its argument,
    during which the weights that stand outside of the layers are whole.
    """

    def __init__(self, model: nn.Module, head_1D: nn.Parameter | None) -> None:
        super().__init__()
        self.model = model
        if head_1D is not None:
            self.register_parameter("head_1D", head_1D)

    @override
    def forward(self, call: Callable[[], Result]) -> Result:
        """Return what the argument returns."""
        return call()


class ShardedNetwork(Network):
    """A model of which this process has a part.

    Args:
        root: sharded.
        pieces: of all weights by name.
        sources: what gradients of trained weights are found at, by the same names.
    """

    def __init__(
        self,
        root: Root,
        heads: Heads,
        pieces: Mapping[str, Piece],
        sources: Mapping[str, Tensor],
        tensor_parallel: TensorParallel,
    ) -> None:
        model: Any = root.model
        super().__init__(model, heads)
        self._root, self._pieces, self._sources = root, pieces, sources
        self._tensor_parallel = tensor_parallel
        self._share: tuple[PackedBatch, ContextShare] | None = None
        self._ranks = tensor_parallel.ranks

    @override
    def run(self, call: Callable[[], Result]) -> Result:
        found: Result = self._root(call)
        return found

    @override
    def rest(self) -> None:
        for module in self._root.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    @override
    def nodes(self, packed: PackedBatch, train: Train[Never], routing: Routing | None = None) -> Tensor:
        multiple = self._ranks.context.size * (self._ranks.num_slices if self._tensor_parallel.splits_sequence else 1)
        filled = filled_up(packed, math.lcm(train.packing.pad_multiple, multiple))
        if self._ranks.context.size == 1:
            return states(self.model, on_device(filled, self._ranks.device), train, routing)
        share = context_share(filled, self._ranks.context, self.heads)
        self._share = (packed, share)
        return states(self.model, on_device(share.local, self._ranks.device), train, routing)

    @override
    def hidden(self, nodes_UD: Tensor, packed: PackedBatch) -> Tensor:
        return super().hidden(self._tensor_parallel.all_nodes(nodes_UD), packed)

    @override
    def sources(self, packed: PackedBatch) -> Tensor:
        sources_W = packed.sources_M if self._ranks.context.size == 1 else self._share_of(packed).sources_W
        return sources_W.to(self._ranks.device)

    @override
    def own(self, packed: PackedBatch, values_M: Tensor) -> Tensor:
        own_W = values_M if self._ranks.context.size == 1 else values_M[self._share_of(packed).tokens_W]
        return own_W.to(self._ranks.device)

    @override
    def of_all(self, packed: PackedBatch, values_W: Tensor) -> Tensor:
        if self._ranks.context.size > 1:
            share = self._share_of(packed)
            values_W = of_all_ranks(values_W, share, len(packed.targets_M), self._ranks.context)
        return values_W.cpu()  # where algorithms compute, on vectors of a few tokens

    def _share_of(self, packed: PackedBatch) -> ContextShare:
        """Return this rank's part of the micro-batch whose nodes were computed last."""
        if self._share is None or self._share[0] is not packed:
            raise InternalError("a micro-batch was asked for whose nodes were not computed")
        return self._share[1]

    @override
    def head_spec(self, spec: HeadSpec) -> HeadSpec:
        if not self._tensor_parallel.is_on:
            return spec
        group, rows = self._ranks.tensor_group, -(-self.model.config.vocab_size // self._ranks.num_slices)

        def reduced(operation: Any) -> Callable[[Tensor], Tensor]:
            def reduce(values: Tensor) -> Tensor:
                dist.all_reduce(values, op=operation, group=group)
                return values

            return reduce

        def gathered(columns_MC: Tensor) -> Tensor:
            return torch.cat(parts_of_all(columns_MC.t(), group), dim=0).t()

        largest, total = reduced(dist.ReduceOp.MAX), reduced(dist.ReduceOp.SUM)
        return spec._replace(vocabulary=Vocabulary(rows * self._ranks.slice, largest, total, gathered))

    @override
    def side(self, hidden_WD: Tensor) -> Side:
        weight = self.model.lm_head.weight
        head_VD = weight.to_local() if isinstance(weight, DTensor) else weight
        return Side(self._tensor_parallel.read_apart(hidden_WD), head_VD)

    @override
    def row(self) -> Tensor:
        found: Tensor = self._root.head_1D
        return found

    @override
    def held(self) -> dict[str, Tensor]:
        return {name: piece.local for name, piece in self._pieces.items()}

    @override
    def trained(self) -> dict[str, Tensor]:
        return {name: self._pieces[name].local for name in self._sources}

    @override
    def settle(self) -> None:
        self.rest()
        for name, source in self._sources.items():
            gradient: Any = source.grad
            self._pieces[name].local.grad = None if gradient is None else gradient.to_local()
            source.grad = None

    @override
    def norm(self, gradients: Mapping[str, Tensor]) -> Tensor:
        sums = torch.zeros(2, dtype=torch.float64, device=self._ranks.device)  # of what all slices have, and of slices
        for name, gradient in gradients.items():
            norm = torch.linalg.vector_norm(gradient, dtype=torch.float64)
            sums[0 if self._pieces[name].cut is None else 1] += norm.square().to(sums.device)
        dist.all_reduce(sums, group=self._ranks.shard_group)
        dist.all_reduce(sums[1], group=self._ranks.tensor_group)
        return sums.sum().sqrt().float()

    @override
    def whole(self, name: str, part: Tensor) -> Tensor:
        return whole_of(part, self._pieces[name], self._ranks)

    @override
    def fill(self, name: str, part: Tensor, whole: Tensor) -> None:
        part.copy_(part_of(whole, self._pieces[name], self._ranks))

    @override
    def shape(self, name: str, part: Tensor) -> torch.Size:
        return self._pieces[name].shape
