"""The feed-forward half of a block: one gated layer, or several of which a router picks a few for each token.

Shapes: N tokens, D model, F width of the gated layer, E experts, C experts chosen for a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Never

import torch
from torch import Tensor
from torch.nn import functional as F

from compiler.ir.model import Model
from runtime.engines.architecture import Experts
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.weight import Weight, plain


class GatedLayer:
    """down(silu(gate(x)) * up(x)), gate and up fused.  `is_fused` says whether Hugging Face fuses them, too."""

    def __init__(self, model: Model[Never], *, is_fused: bool) -> None:
        self._gate_up_FD = torch.zeros(2 * model.intermediate_size, model.hidden_size)
        self._down_DF = torch.zeros(model.hidden_size, model.intermediate_size)
        self._is_fused = is_fused

    def add_to(self, x_ND: Tensor, normed_ND: Tensor, after: Norm | None) -> Tensor:
        """Add the output for a normed input to the residual stream, in place; `after` norms it once more."""
        gate_NF, up_NF = F.linear(normed_ND, self._gate_up_FD).chunk(2, dim=-1)
        return add_product(x_ND, F.silu(gate_NF).mul_(up_NF), self._down_DF, after)

    def weights(self, prefix: str) -> Iterator[Weight]:
        """Yield the weights in the order of Hugging Face."""
        if self._is_fused:
            yield plain(prefix + "gate_up_proj.weight", self._gate_up_FD)
        else:
            gate_FD, up_FD = self._gate_up_FD.chunk(2)
            yield plain(prefix + "gate_proj.weight", gate_FD)
            yield plain(prefix + "up_proj.weight", up_FD)
        yield plain(prefix + "down_proj.weight", self._down_DF)


class RoutedLayers:
    """Gated layers of which a softmax router picks the likeliest ones for each token, weighed by their probability."""

    def __init__(self, model: Model[Never], experts: Experts) -> None:
        width, inner = model.hidden_size, experts.expert_size
        self._router_ED = torch.zeros(experts.num_experts, width)
        self._gate_up_EFD = torch.zeros(experts.num_experts, 2 * inner, width)
        self._down_EDF = torch.zeros(experts.num_experts, width, inner)
        self._experts = experts

    def add_to(self, x_ND: Tensor, normed_ND: Tensor, after: Norm | None) -> Tensor:
        """Add the output for a normed input to the residual stream, in place; `after` norms it once more."""
        share_NE = F.linear(normed_ND, self._router_ED).softmax(-1)
        share_NC, chosen_NC = share_NE.topk(self._experts.experts_per_token, dim=-1)
        if self._experts.normalize_weights:
            share_NC = share_NC / share_NC.sum(-1, keepdim=True)
        out_ND = torch.zeros_like(normed_ND)
        for expert in chosen_NC.unique().tolist():
            token_M, place_M = torch.nonzero(chosen_NC == expert, as_tuple=True)
            gate, up = F.linear(normed_ND[token_M], self._gate_up_EFD[expert]).chunk(2, dim=-1)
            part_MD = F.linear(F.silu(gate).mul_(up), self._down_EDF[expert])
            out_ND.index_add_(0, token_M, part_MD * share_NC[token_M, place_M, None])
        return x_ND.add_(out_ND if after is None else after(out_ND))

    def weights(self, prefix: str) -> Iterator[Weight]:
        """Yield the weights in the order of Hugging Face."""
        yield plain(prefix + "experts.gate_up_proj", self._gate_up_EFD)
        yield plain(prefix + "experts.down_proj", self._down_EDF)
        yield plain(prefix + "gate.weight", self._router_ED)


def add_product(x_ND: Tensor, inner_NF: Tensor, weight_DF: Tensor, after: Norm | None) -> Tensor:
    """Add inner @ weight.T, normed if `after` says so, to the residual stream, in place."""
    if after is None:
        return x_ND.addmm_(inner_NF, weight_DF.t())
    return x_ND.add_(after(F.linear(inner_NF, weight_DF)))
