"""Routing: which experts the tokens of a micro-batch visit, as their routers choose, or as somebody recorded.

A replayed token visits the experts that are given and no others; what these weigh is computed from the router's own
scores of them, so that gradients reach the router.  With the experts that it would have chosen itself, a model computes
the same numbers bit for bit.
Papers: arXiv:2510.11370 (experts of the rollout), arXiv:2507.18071 section 5.3 (experts of the old policy).

Shape letters: T tokens of the global batch, U nodes of the micro-batch, W wanted tokens, L layers with experts, E
experts, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.engines.architecture import Experts
from runtime.engines.train.packed_batch import PackedBatch

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel


class Routing:
    """What the routers of one model do.

    Args:
        model: a copy of it chooses for itself.
    """

    def __init__(self, model: CausalModel, experts: Experts) -> None:
        layers: Any = model.model.layers[: model.config.num_hidden_layers]  # those that predict further tokens choose
        gates = [layer.mlp.gate for layer in layers if hasattr(layer.mlp, "gate")]
        for at, gate in enumerate(gates):
            gate.register_forward_hook(partial(self._route, at))
        self._experts = experts
        self._num_layers = len(gates)
        self._given_ULC: Tensor | None = None
        # Of each layer, so that one whose forward pass is gone through again counts once.
        self._chosen: dict[int, Tensor] = {}
        self._others: dict[int, Tensor] = {}
        self._recorded_TLC: Tensor | None = None

    @contextmanager
    def recording(self, num_tokens: int) -> Iterator[Tensor]:
        """Yield [T, L, C] int16, -1 at first, into which goes what tokens visit from here on."""
        shape = (num_tokens, self._num_layers, self._experts.experts_per_token)
        self._recorded_TLC = torch.full(shape, -1, dtype=torch.int16)
        try:
            yield self._recorded_TLC
        finally:
            self._recorded_TLC = None

    @contextmanager
    def over(self, packed: PackedBatch) -> Iterator[None]:
        """Let one forward pass go over a micro-batch, whose tokens visit the experts that it names, if it does.

        Until the next one they do so as well where the backward pass computes layers again.
        """
        given_ULC = packed.expert_ids_ULC
        self.forget()
        self._given_ULC = None if given_ULC is None else given_ULC.to(packed.tokens_1U.device).long()
        yield
        if self._recorded_TLC is not None:
            chosen_ULC = torch.stack([self._chosen[at] for at in range(self._num_layers)], dim=1).to("cpu", torch.int16)
            self._recorded_TLC[packed.inputs_I] = chosen_ULC[packed.nodes_I]

    def forget(self) -> None:
        """Let the routers choose, in a pass over what is in no batch."""
        self._given_ULC = None
        self._chosen.clear()
        self._others.clear()

    def rerouted(self, sources_W: Tensor) -> Tensor:
        """Return [W] float32, of each of these nodes the share of layers whose router would have chosen other experts
        in the last pass than those that were given.
        """
        if not self._others:
            return torch.zeros(sources_W.shape, device=sources_W.device)
        others_U = torch.stack([self._others[at] for at in sorted(self._others)]).sum(0)
        return others_U[sources_W] / self._num_layers

    def _route(self, layer: int, gate: Any, _inputs: Any, output: tuple[Tensor, Tensor, Tensor]) -> Any:
        """Replace what a router returns: logits [U, E], weights [U, C] of the chosen experts, and which these are."""
        del gate
        logits_UE, weight_UC, own_UC = output
        if self._given_ULC is None:
            self._chosen[layer] = own_UC.detach()
            return output
        given_UC = self._given_ULC[:, layer]
        # A node that only fills the micro-batch up has none.
        chosen_UC = torch.where(given_UC < 0, own_UC, given_UC)
        self._others[layer] = (chosen_UC.sort(-1).values != own_UC.sort(-1).values).any(-1).float()
        return logits_UE, self._weights(logits_UE, chosen_UC).to(weight_UC.dtype), chosen_UC

    def _weights(self, logits_UE: Tensor, chosen_UC: Tensor) -> Tensor:
        experts = self._experts
        is_softmax = experts.score == "softmax"
        score_UE = logits_UE.softmax(-1, dtype=torch.float32) if is_softmax else logits_UE.sigmoid()
        weight_UC = score_UE.gather(1, chosen_UC)
        if experts.normalize_weights:
            weight_UC = weight_UC / (weight_UC.sum(-1, keepdim=True) + (0.0 if is_softmax else 1e-20))
        return weight_UC if is_softmax else weight_UC * experts.routed_scaling


def check_recorded(expert_ids_NLC: Tensor | None, num_tokens: int, *, replayed: str) -> None:
    """Raise SpecError RLC0770 if there is a token whose experts nobody recorded.

    Args:
        expert_ids_NLC: those of all N tokens that are read.
    """
    if expert_ids_NLC is None or bool((expert_ids_NLC < 0).any()):
        count = num_tokens if expert_ids_NLC is None else int((expert_ids_NLC < 0).flatten(1).any(1).sum())
        raise SpecError(
            Diagnostic(
                "RLC0770",
                f'train.routing_replay = "{replayed}", and of {count:,} tokens of a micro-batch nobody recorded the '
                "experts",
                help=(Help("train on responses that were sampled with this setting, or let the router choose anew"),),
                paths=("train.routing_replay",),
            )
        )
