"""A model of a trainer, and where its weights and the nodes of a micro-batch are: all of them in this process.

What a trainer does with a model is said once, here; fsdp2_network.py says it for one that is spread over ranks.  A rank
computes hidden states of some nodes only, and with them log-probs of some wanted tokens only; everything that a loss is
made of is put together again before an algorithm sees it, so that a sequence is never split.

Shape letters: M wanted tokens of one micro-batch, W those of them that this process computes, U nodes, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Never, TypeVar

import torch
from torch import Tensor, nn

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.training import Train
from runtime.engines.train.chunked_divergence import Side
from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats, token_stats
from runtime.engines.train.forward import node_states
from runtime.engines.train.hf_model import held_weights
from runtime.engines.train.optimizer import whole_norm
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel
    from runtime.engines.train.routing import Routing

Result = TypeVar("Result")


class Network:
    """A model whose weights this process has whole.

    Args:
        head: what a head of one number is called, and its row, where the model has one in the place of the vocabulary.
    """

    def __init__(self, model: CausalModel, heads: Heads, *, head: tuple[str, nn.Parameter] | None = None) -> None:
        self.model = model
        self.heads = heads
        self._head = head

    def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns, which may use weights as if they were whole; gradients flow out of it."""
        return call()

    def rest(self) -> None:
        """Let go of what was put together of weights, as behind a pass without gradient."""

    def nodes(self, packed: PackedBatch, train: Train[Never], routing: Routing | None = None) -> Tensor:
        """Return [U, D] the last hidden states of the nodes that this process computes, behind the last norm."""
        return node_states(self.model, packed, train, routing)

    def hidden(self, nodes_UD: Tensor, packed: PackedBatch) -> Tensor:
        """Return [W, D] of them those before the wanted tokens that this process computes."""
        return nodes_UD.index_select(0, self.sources(packed))

    def sources(self, packed: PackedBatch) -> Tensor:
        """Return [W] the nodes of this process before them."""
        return packed.sources_M

    def own(self, packed: PackedBatch, values_M: Tensor) -> Tensor:
        """Return [W] of the values of all wanted tokens those that this process computes."""
        del packed
        return values_M

    def of_all(self, packed: PackedBatch, values_W: Tensor) -> Tensor:
        """Return [M] the values of all wanted tokens, put together; carries the gradient to those of this process."""
        del packed
        return values_W

    def head_spec(self, spec: HeadSpec) -> HeadSpec:
        """Return how logits are computed with the part of the vocabulary that this process has."""
        return spec

    def stats(self, hidden_WD: Tensor, packed: PackedBatch, spec: HeadSpec) -> TokenStats:
        """Return log-prob and entropy of every wanted token."""
        side, targets_W = self.side(hidden_WD), self.own(packed, packed.targets_M)
        found = token_stats(side.hidden_MD, side.head_VD, targets_W, spec=self.head_spec(spec))
        return TokenStats(*(self.of_all(packed, values) for values in found))

    def side(self, hidden_WD: Tensor) -> Side:
        """Return what distributions come from."""
        return Side(hidden_WD, self.model.lm_head.weight)

    def numbers(self, packed: PackedBatch, train: Train[Never]) -> Tensor:
        """Return [M] float32 the number of the head before each wanted token; carries the gradient."""
        hidden_WD = self.hidden(self.nodes(packed, train), packed)
        return self.of_all(packed, (hidden_WD.float() @ self.row().t())[:, 0])

    def row(self) -> Tensor:
        """Return [1, D] the head of one number."""
        if self._head is None:
            raise InternalError("a model with a head over its vocabulary has no numbers")
        return self._head[1]

    def held(self) -> dict[str, Tensor]:
        """Return the live weights by name, as far as this process has them, trained or not, a head of its own last."""
        found = held_weights(self.model)
        return found if self._head is None else {**found, self._head[0]: self._head[1]}

    def trained(self) -> dict[str, Tensor]:
        """Return of them those that have a gradient."""
        found = dict(self.model.named_parameters())
        if self._head is not None:
            found[self._head[0]] = self._head[1]
        return {name: parameter for name, parameter in found.items() if parameter.requires_grad}

    def settle(self) -> None:
        """Let what `trained` returns have the gradients of the global batch."""

    def norm(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return the norm of all gradients together."""
        return whole_norm(gradients)

    def whole(self, name: str, part: Tensor) -> Tensor:
        """Return the whole of a weight, or of what belongs to it, of which this process has a part."""
        del name
        return part.detach()

    def fill(self, name: str, part: Tensor, whole: Tensor) -> None:
        """Copy into a part what is its of the whole."""
        del name
        part.copy_(whole)

    def shape(self, name: str, part: Tensor) -> torch.Size:
        """Return the shape of the whole."""
        del name
        return part.shape
