"""A sharded model built from weights by name, one layer at a time.

A layer is given memory, filled, cut over the ranks, and what is not this rank's is let go before the next one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Never

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from compiler.ir.model import Model
from runtime.engines.train.fsdp2_network import Root, ShardedNetwork
from runtime.engines.train.fsdp2_ranks import Ranks
from runtime.engines.train.fsdp2_shards import Piece
from runtime.engines.train.hf_model import adapted, check_fit, held_weights, restore_rotary_tables
from runtime.engines.train.spread import heads_of

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel


class Sharding:
    """Cuts models over ranks.

    Args:
        arguments: of fully_shard for layers; the root keeps its weights whole until its backward pass is done.
    """

    def __init__(self, ranks: Ranks, arguments: Mapping[str, Any]) -> None:
        self._ranks = ranks
        self._arguments = dict(arguments)

    def network(
        self,
        empty: CausalModel,
        facts: Model[Never],
        weights: Mapping[str, Tensor],
        *,
        head: tuple[str, nn.Parameter] | None = None,
    ) -> ShardedNetwork:
        """Return a model with its weights cut over the ranks.

        Args:
            empty: on the meta device; what is not trained of it needs no gradient.
            head: what a head of one number is called, and what it begins with.

        Raises: SpecError RLC0640 if the weights do not fit the model.
        """
        check_fit(empty, weights)
        names = {id(tensor): name for name, tensor in held_weights(empty).items()}
        model: Any = adapted(empty, facts)
        root = Root(model, None if head is None else nn.Parameter(head[1].detach().to(self._ranks.device)))
        made = _Made(names, weights, self._ranks.device)
        shapes = {name: tensor.shape for name, tensor in held_weights(empty).items()}
        for layer in model.model.layers[: facts.num_layers]:
            made.fill(layer)
            self._shard(layer, **self._arguments)
        made.fill(root)
        model.model.rotary_emb.to_empty(device=self._ranks.device)
        restore_rotary_tables(model)
        self._shard(root, **self._arguments | {"reshard_after_forward": False})
        pieces: dict[str, Piece] = {}
        sources: dict[str, Tensor] = {}
        found = {**held_weights(model), **({} if head is None else {head[0]: root.head_1D})}
        for name, live in found.items():
            is_sharded = isinstance(live, DTensor)
            local = live.to_local() if isinstance(live, DTensor) else live
            pieces[name] = Piece(shapes.get(name, live.shape), local.detach(), None, is_sharded)
            if is_sharded and live.requires_grad:
                sources[name] = live
        return ShardedNetwork(root, heads_of(facts), pieces, sources, self._ranks)

    def _shard(self, module: nn.Module, **arguments: Any) -> None:
        sharded: Any = fully_shard(module, mesh=self._ranks.weights, **arguments)
        if isinstance(sharded, FSDPModule):
            # Shares of a loss add up to the loss of the global batch, so gradients are added up and not averaged.
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)


class _Made:
    """Gives the modules of a model on the meta device memory and weights; what is tied stays tied."""

    def __init__(self, names: Mapping[int, str], weights: Mapping[str, Tensor], device: torch.device) -> None:
        self._names, self._weights, self._device = names, weights, device
        self._tied: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # so that no id is taken again

    def fill(self, unit: nn.Module) -> None:
        for module in unit.modules():
            self._fill(module._parameters)
            self._fill(module._buffers)

    def _fill(self, tensors: Any) -> None:
        for name, empty in tensors.items():
            if empty is None or not empty.is_meta or id(empty) not in self._names:
                continue
            if id(empty) not in self._tied:
                self._kept.append(empty)
                whole = torch.empty(empty.shape, dtype=empty.dtype, device=self._device)
                whole.copy_(self._weights[self._names[id(empty)]])
                is_parameter = isinstance(empty, nn.Parameter)
                made = nn.Parameter(whole, requires_grad=empty.requires_grad) if is_parameter else whole
                self._tied[id(empty)] = made
            tensors[name] = self._tied[id(empty)]
