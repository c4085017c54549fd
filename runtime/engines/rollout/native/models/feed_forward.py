"""The feed-forward half of a block: one gated layer, or several of which a router picks a few for each token.

Shapes: N tokens, D model, F width of the gated layer, E experts, G groups of them, C experts chosen for a token, O
groups open to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from runtime.engines.architecture import Experts
from runtime.engines.rollout.native.models.norm import Norm
from runtime.engines.rollout.native.models.weight import Weight, plain


class GatedLayer:
    """down(silu(gate(x)) * up(x)), gate and up fused.  `is_fused` says whether Hugging Face fuses them, too."""

    def __init__(self, width: int, inner: int, *, is_fused: bool = False) -> None:
        self._gate_up_FD = torch.zeros(2 * inner, width)
        self._down_DF = torch.zeros(width, inner)
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
    """Gated layers of which a router picks a few for each token, weighed by its scores, and one for every token.

    A bias of each expert, where there is one, decides with the scores which are picked, not what they weigh.  Of groups
    of experts those are open to a token whose two best scores have the largest sums.
    `chosen_NC` are those of the last pass.
    Paper: DeepSeek-V3 Technical Report, arXiv:2412.19437, equations 12 to 16, and section 2.1.2.

    Args:
        num_rows: to which the tokens of one expert are filled up with zeros; None for as many as there are.
    """

    def __init__(self, width: int, experts: Experts, *, num_rows: int | None = None) -> None:
        inner = experts.expert_size
        self._router_ED = torch.zeros(experts.num_experts, width)
        self._gate_up_EFD = torch.zeros(experts.num_experts, 2 * inner, width)
        self._down_EDF = torch.zeros(experts.num_experts, width, inner)
        self._bias_E = torch.zeros(experts.num_experts) if experts.has_bias else None
        self._shared = GatedLayer(width, experts.shared_expert_size) if experts.shared_expert_size else None
        self._experts = experts
        self._num_rows = num_rows
        self.chosen_NC = torch.empty(0, experts.experts_per_token, dtype=torch.int64)

    def add_to(self, x_ND: Tensor, normed_ND: Tensor, after: Norm | None) -> Tensor:
        """Add the output for a normed input to the residual stream, in place; `after` norms it once more."""
        share_NC, chosen_NC = self._route(normed_ND)
        self.chosen_NC = chosen_NC
        out_ND = torch.zeros_like(normed_ND)
        for expert in chosen_NC.unique().tolist():
            token_M, place_M = torch.nonzero(chosen_NC == expert, as_tuple=True)
            gate, up = F.linear(self._filled(normed_ND[token_M]), self._gate_up_EFD[expert]).chunk(2, dim=-1)
            part_MD = F.linear(F.silu(gate).mul_(up), self._down_EDF[expert])[: token_M.shape[0]]
            out_ND.index_add_(0, token_M, part_MD * share_NC[token_M, place_M, None])
        if self._shared is not None:
            out_ND = self._shared.add_to(out_ND, normed_ND, None)
        return x_ND.add_(out_ND if after is None else after(out_ND))

    def _filled(self, given_MD: Tensor) -> Tensor:
        missing = 0 if self._num_rows is None else self._num_rows - given_MD.shape[0]
        return F.pad(given_MD, (0, 0, 0, missing)) if missing > 0 else given_MD

    def _route(self, normed_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights [N, C] of the experts that each token visits, and which these are."""
        experts = self._experts
        logit_NE = F.linear(normed_ND, self._router_ED)
        score_NE = logit_NE.softmax(-1) if experts.score == "softmax" else logit_NE.sigmoid()
        rank_NE = score_NE if self._bias_E is None else score_NE + self._bias_E
        if experts.num_groups > 1:
            rank_NE = self._within_groups(rank_NE)
        chosen_NC = rank_NE.topk(experts.experts_per_token, dim=-1).indices
        share_NC = score_NE.gather(1, chosen_NC)
        if experts.normalize_weights:
            # Sigmoids may all be 0, which shares of a softmax cannot.
            share_NC = share_NC / (share_NC.sum(-1, keepdim=True) + (0.0 if experts.score == "softmax" else 1e-20))
        return share_NC * experts.routed_scaling, chosen_NC

    def _within_groups(self, rank_NE: Tensor) -> Tensor:
        """Return the ranks with -inf in all groups of experts that are closed to a token."""
        rank_NGE = rank_NE.unflatten(1, (self._experts.num_groups, -1))
        open_NO = rank_NGE.topk(2, dim=-1).values.sum(-1).topk(self._experts.groups_per_token, dim=-1).indices
        is_closed_NG = torch.ones(rank_NGE.shape[:2], dtype=torch.bool).scatter_(1, open_NO, value=False)
        return rank_NGE.masked_fill(is_closed_NG[..., None], -torch.inf).flatten(1)

    def weights(self, prefix: str) -> Iterator[Weight]:
        """Yield the weights in the order of Hugging Face."""
        yield plain(prefix + "experts.gate_up_proj", self._gate_up_EFD)
        yield plain(prefix + "experts.down_proj", self._down_EDF)
        yield plain(prefix + "gate.weight", self._router_ED)
        if self._bias_E is not None:
            yield plain(prefix + "gate.e_score_correction_bias", self._bias_E)
        if self._shared is not None:
            yield from self._shared.weights(prefix + "shared_experts.")


def add_product(x_ND: Tensor, inner_NF: Tensor, weight_DF: Tensor, after: Norm | None) -> Tensor:
    """Add inner @ weight.T, normed if `after` says so, to the residual stream, in place."""
    if after is None:
        return x_ND.addmm_(inner_NF, weight_DF.t())
    return x_ND.add_(after(F.linear(inner_NF, weight_DF)))
