"""A model spread over ranks by torch.distributed.fsdp.fully_shard: each layer is whole only while it is computed.

Weights are read one layer at a time and the rest of a layer is let go as soon as it is cut, so no rank ever holds the
model.  The optimizer and checkpoints work on the local parts, which stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from typing_extensions import override

from runtime.engines.train.fsdp2_ranks import Ranks
from runtime.engines.train.fsdp2_shards import Piece, part_of, whole_of
from runtime.engines.train.network import Network
from runtime.engines.train.packed_attention import Heads

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
        self, root: Root, heads: Heads, pieces: Mapping[str, Piece], sources: Mapping[str, Tensor], ranks: Ranks
    ) -> None:
        model: Any = root.model
        super().__init__(model, heads)
        self._root, self._pieces, self._sources, self._ranks = root, pieces, sources, ranks

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
