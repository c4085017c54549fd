"""Tensor parallelism by DTensor: how each weight of a layer is cut, and what ranks exchange for it.

Columns of the first matrices and rows of the last ones of attention and of the feed-forward layer are cut, experts
along their inner width, and embedding and output head along the vocabulary.  With sequence parallelism ranks have parts
of the nodes between these, gather them before the first matrices, and scatter sums behind the last ones.
Papers: Megatron-LM, arXiv:1909.08053, section 3; Reducing Activation Recomputation, arXiv:2205.05198, section 4.2.2
(sequence parallelism).

Whatever stands in between and is not cut is the same on all ranks, unless each sees a part of the heads, or of the
nodes, only; then its gradient is a part of a sum, which is said where the weight is read.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    parallelize_module,
)

from runtime.engines.train.fsdp2_ranks import Ranks
from runtime.engines.train.fsdp2_shards import Cut, slice_of
from runtime.engines.train.lean_norm import LeanNorm

_COLUMNS = ("q_proj", "k_proj", "v_proj", "q_b_proj", "kv_b_proj", "gate_proj", "up_proj")
_ROWS = ("o_proj", "down_proj")
_VOCABULARY = ("embed_tokens", "lm_head")
_NORMS = (
    "input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm"
)  # fmt: skip


class TensorParallel:
    """What the ranks of the axis tp do with a model.

    Args:
        splits_sequence: whether they have parts of the nodes outside of attention and feed-forward layers.
    """

    def __init__(self, ranks: Ranks, *, splits_sequence: bool) -> None:
        self.ranks = ranks
        self.is_on = ranks.num_slices > 1
        self.splits_sequence = self.is_on and splits_sequence
        self._nodes: Placement = Shard(1) if self.splits_sequence else Replicate()

    def cut_of(self, name: str) -> Cut | None:
        """Return how a weight is cut, or None where all ranks have the same."""
        *_, module, leaf = ("", *name.split("."))
        if not self.is_on:
            return None
        if module == "experts":
            return {"gate_up_proj": Cut(1, parts=2), "down_proj": Cut(2)}.get(leaf)
        if module == "gate_up_proj":
            return Cut(0, parts=2)
        if module in _COLUMNS or module in _VOCABULARY:
            return Cut(0)
        return Cut(1) if module in _ROWS and leaf == "weight" else None

    def part(self, name: str, whole: Tensor, like: Tensor) -> Tensor:
        """Return this rank's part of a weight, which is of the shape, and gets the dtype, of `like`."""
        cut = self.cut_of(name)
        own = slice_of(whole, cut, self.ranks)
        local = torch.empty(own.shape, dtype=like.dtype, device=self.ranks.device).copy_(own)
        if cut is None or ".experts." in name:
            return local
        mesh = self.ranks.tensor
        return DTensor.from_local(
            local, mesh, [Shard(cut.dim)], run_check=False, shape=like.shape, stride=like.stride()
        )

    def spread_layer(self, layer: Any) -> None:
        """Let a layer, whose weights are parts, compute what the whole one does."""
        if not self.is_on:
            return
        plan: dict[str, ParallelStyle] = {}
        is_latent = hasattr(layer.self_attn, "kv_b_proj")
        plan["self_attn"] = PrepareModuleInput(
            input_kwarg_layouts={"hidden_states": self._nodes},
            desired_input_kwarg_layouts={"hidden_states": Replicate()},
            use_local_output=is_latent,  # whose first matrices are the same on all ranks
        )
        is_routed = hasattr(layer.mlp, "experts")
        plan["mlp"] = PrepareModuleInput(
            input_layouts=(self._nodes,), desired_input_layouts=(Replicate(),), use_local_output=is_routed
        )
        scattered = Replicate() if is_routed else self._nodes
        for name, module in layer.named_modules():
            leaf = name.rpartition(".")[2]
            if not isinstance(module, nn.Linear):
                continue
            if leaf in (*_COLUMNS, "gate_up_proj"):
                plan[name] = ColwiseParallel()
            elif leaf in _ROWS:
                plan[name] = RowwiseParallel(output_layouts=self._nodes if leaf == "o_proj" else scattered)
        parallelize_module(layer, self.ranks.tensor, plan, src_data_rank=None)
        if is_routed:
            self._spread_experts(layer.mlp)
        if is_latent:
            self._spread_shared_key(layer.self_attn)
        for name in _NORMS if self.splits_sequence else ():
            if hasattr(layer, name):
                self._sum_gradients(getattr(layer, name))
        for name in () if is_latent else ("q_norm", "k_norm"):
            if isinstance(getattr(layer.self_attn, name, None), LeanNorm):
                self._sum_gradients(getattr(layer.self_attn, name))

    def spread_outside(self, model: Any) -> None:
        """Do the same for what stands outside of the layers."""
        if not self.is_on:
            return
        table, is_tied = model.model.embed_tokens, False
        if isinstance(model.lm_head, nn.Linear):
            is_tied = model.lm_head.weight is table.weight
        embed = RowwiseParallel(input_layouts=Replicate(), output_layouts=self._nodes)
        parallelize_module(table, self.ranks.tensor, embed, src_data_rank=None)
        if is_tied:
            model.lm_head.weight = table.weight
        if self.splits_sequence:
            self._sum_gradients(model.model.norm)

    def all_nodes(self, nodes_UD: Tensor) -> Tensor:
        """Return the hidden states of all nodes, which all ranks go on with alike."""
        if not self.splits_sequence:
            return nodes_UD
        return (
            DTensor.from_local(nodes_UD, self.ranks.tensor, [Shard(0)])
            .redistribute(placements=[Replicate()])
            .to_local()
        )

    def read_apart(self, values: Tensor) -> Tensor:
        """Return values that all ranks have, for each to make something else of: gradients are added up."""
        if not self.is_on:
            return values
        found = DTensor.from_local(values, self.ranks.tensor, [Replicate()], run_check=False)
        return found.to_local(grad_placements=[Partial()])

    def added(self, values: Tensor) -> Tensor:
        """Return the sum of what ranks made, for all."""
        found = DTensor.from_local(values, self.ranks.tensor, [Partial()], run_check=False)
        return found.redistribute(placements=[Replicate()]).to_local()

    def _sum_gradients(self, norm: LeanNorm) -> None:
        weight = distribute_tensor(norm.weight.detach(), self.ranks.tensor, [Replicate()], src_data_rank=None)
        norm.weight = nn.Parameter(weight, requires_grad=norm.weight.requires_grad)
        norm.read_weight = _as_part_of_a_sum

    def _spread_experts(self, block: Any) -> None:
        def before(_: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            hidden_UD, chosen_UC, weight_UC = inputs
            return self.read_apart(hidden_UD), chosen_UC, self.read_apart(weight_UC)

        def after(_: nn.Module, __: object, output: Tensor) -> Tensor:
            return self.added(output)

        block.experts.register_forward_pre_hook(before)
        block.experts.register_forward_hook(after)
        if self.splits_sequence:
            scatter = PrepareModuleOutput(output_layouts=(Replicate(),), desired_output_layouts=(self._nodes,))
            parallelize_module(block, self.ranks.tensor, scatter, src_data_rank=None)

    def _spread_shared_key(self, attention: Any) -> None:
        """The turning part of a key is one for all heads, and each rank turns it for its own."""
        width = attention.kv_lora_rank

        def after(_: nn.Module, __: object, output: Tensor) -> Tensor:
            return torch.cat([output[..., :width], self.read_apart(output[..., width:])], dim=-1)

        attention.kv_a_proj_with_mqa.register_forward_hook(after)


def _as_part_of_a_sum(weight: Any) -> Tensor:
    found: Tensor = weight.to_local(grad_placements=[Partial()])
    return found
