"""A sharded model built from weights by name, one layer at a time.

A layer is given memory, filled, cut over the ranks, and what is not this rank's is let go before the next one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Never

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.training import Fsdp2
from runtime.engines.train.fsdp2_network import Root, ShardedNetwork
from runtime.engines.train.fsdp2_shards import Piece
from runtime.engines.train.fsdp2_tensor import TensorParallel
from runtime.engines.train.hf_model import adapted, check_fit, held_weights, restore_rotary_tables
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.spread import heads_of

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel

# What of a layer is kept where the rest is computed again: the results of matrix products and of attention.
_ATEN: Any = torch.ops.aten
_KEPT = (
    _ATEN.mm.default,
    _ATEN.addmm.default,
    _ATEN.bmm.default,
    _ATEN.baddbmm.default,
    _ATEN._grouped_mm.default,
    _ATEN._scaled_dot_product_flash_attention.default,
    _ATEN._scaled_dot_product_efficient_attention.default,
    _ATEN._scaled_dot_product_cudnn_attention.default,
    _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
)


class Sharding:
    """Cuts models over ranks, as [train.engine.fsdp2] says."""

    def __init__(self, tensor_parallel: TensorParallel, settings: Fsdp2, precision: Literal["fp32", "bf16"]) -> None:
        self._tensor_parallel, self._ranks, self._settings = tensor_parallel, tensor_parallel.ranks, settings
        self._policies = {
            "mp_policy": MixedPrecisionPolicy(
                param_dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
                reduce_dtype=getattr(torch, settings.reduce_dtype),
                # What layers add up stays in float32, as where one process trains; autocast casts what is multiplied.
                cast_forward_inputs=False,
            ),
            "offload_policy": CPUOffloadPolicy(pin_memory=settings.pin_memory)
            if settings.cpu_offload
            else OffloadPolicy(),
        }

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
        made = _Made(names, weights, self._tensor_parallel)
        shapes = {name: tensor.shape for name, tensor in held_weights(empty).items()}
        for index, layer in enumerate(model.model.layers[: facts.num_layers]):
            made.fill(layer)
            self._tensor_parallel.spread_layer(layer)
            self._recompute(layer, index)
            if self._settings.compile:
                layer.compile()
            self._shard(layer, reshard_after_forward=self._settings.reshard_after_forward)
        made.fill(root)
        self._tensor_parallel.spread_outside(model)
        model.model.rotary_emb.to_empty(device=self._ranks.device)
        restore_rotary_tables(model)
        self._shard(root, reshard_after_forward=False)
        pieces: dict[str, Piece] = {}
        sources: dict[str, Tensor] = {}
        found = {**held_weights(model), **({} if head is None else {head[0]: root.head_1D})}
        for name, live in found.items():
            is_sharded = isinstance(live, DTensor)
            local = live.to_local() if isinstance(live, DTensor) else live
            pieces[name] = Piece(
                shapes.get(name, live.shape), local.detach(), self._tensor_parallel.cut_of(name), is_sharded
            )
            if is_sharded and live.requires_grad:
                sources[name] = live
        heads = Heads(*(count // self._ranks.num_slices for count in heads_of(facts)))
        return ShardedNetwork(root, heads, pieces, sources, self._tensor_parallel)

    def _recompute(self, layer: Any, index: int) -> None:
        kind = self._settings.activation_checkpointing
        if isinstance(kind, Off) or (kind == "full" and index % self._settings.activation_checkpointing_freq):
            return
        again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)  # nothing in a layer draws
        if kind == "selective":
            again = partial(again, context_fn=partial(create_selective_checkpoint_contexts, list(_KEPT)))
        layer.gradient_checkpointing, layer._gradient_checkpointing_func = True, again

    def _shard(self, module: nn.Module, *, reshard_after_forward: bool | int) -> None:
        mesh, policies = self._ranks.weights, self._policies
        sharded: Any = fully_shard(module, mesh=mesh, reshard_after_forward=reshard_after_forward, **policies)
        if isinstance(sharded, FSDPModule):
            # Shares of a loss add up to the loss of the global batch, so gradients are added up and not averaged.
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)


class _Made:
    """Gives the modules of a model on the meta device memory and weights; what is tied stays tied."""

    def __init__(self, names: Mapping[int, str], weights: Mapping[str, Tensor], cuts: TensorParallel) -> None:
        self._names, self._weights, self._cuts = names, weights, cuts
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
                given = self._names[id(empty)]
                own = self._cuts.part(given, self._weights[given], empty)
                made = nn.Parameter(own, empty.requires_grad) if isinstance(empty, nn.Parameter) else own
                self._tied[id(empty)] = made
            tensors[name] = self._tied[id(empty)]
