"""Over which processes a trainer is spread, and the answer for one that is alone.

Shape letters: T tokens of the global batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Never, Protocol, TypeVar

import torch
from torch import Tensor, nn

from compiler.ir.model import Model
from runtime.engines.train.forward import cut
from runtime.engines.train.hf_model import HEAD, build_backbone, build_model, is_of_prediction
from runtime.engines.train.network import Network
from runtime.engines.train.packed_attention import Heads
from runtime.packing.micro_batches import MicroBatches

if TYPE_CHECKING:
    from runtime.engines.train.torch_ import TrainerSpec
    from stdlib.samples import TrainBatch

Value = TypeVar("Value")


class Spread(Protocol):
    """Builds models, deals micro-batches, and puts together what processes found."""

    @property
    def keeps_state(self) -> bool:
        """Whether this process is the one that is given the state."""
        ...

    def network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, trained: bool, predicts: bool) -> Network:
        """Return a model with a head over its vocabulary; the weights are copied.

        Args:
            predicts: whether its layers for further tokens, if the weights have some, are trained.

        Raises: SpecError RLC0640 if the weights do not fit the model.
        """
        ...

    def scalar_network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, head: str) -> Network:
        """Return a model with a head of one number, which begins with zeros unless the weights have one.

        Raises: SpecError RLC0640 if the weights do not fit the model.
        """
        ...

    def deal(self, batch: TrainBatch, spec: TrainerSpec, wanted_T: Tensor) -> MicroBatches:
        """Return the micro-batches of this process; through an empty one it goes to keep step with others.

        Raises: SpecError RLC0642 if a sequence fits in none.
        """
        ...

    def gathered(self, value: Value) -> list[Value]:
        """Return the values of all shares of the batch, in their order."""
        ...

    def joined(self, found_T: Tensor) -> Tensor:
        """Return the largest of what all found, each at tokens of its own; elsewhere stands the least there can be."""
        ...


class OneProcess:
    """Implements Spread for a trainer that is alone."""

    keeps_state = True

    def network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, trained: bool, predicts: bool) -> Network:
        """Return the model."""
        model = build_model(facts, weights)
        if not trained:
            model.requires_grad_(False)
        elif not predicts:
            model.model.layers[facts.num_layers :].requires_grad_(False)
        return Network(model, heads_of(facts))

    def scalar_network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, head: str) -> Network:
        """Return the model."""
        row_1D = first_row(facts, weights, head=head)
        return Network(
            build_backbone(facts, without_head(facts, weights, head=head)), heads_of(facts), head=(head, row_1D)
        )

    def deal(self, batch: TrainBatch, spec: TrainerSpec, wanted_T: Tensor) -> MicroBatches:
        """Return all micro-batches."""
        del wanted_T
        return cut(batch, spec)

    def gathered(self, value: Value) -> list[Value]:
        """Return the one value."""
        return [value]

    def joined(self, found_T: Tensor) -> Tensor:
        """Return what was found."""
        return found_T


def heads_of(facts: Model[Never]) -> Heads:
    """Return how attention is laid out."""
    return Heads(facts.num_heads, facts.num_kv_heads)


def first_row(facts: Model[Never], weights: Mapping[str, Tensor], *, head: str) -> nn.Parameter:
    """Return [1, D] what a head of one number begins with: zeros, if the weights have none."""
    row_1D = nn.Parameter(torch.zeros(1, facts.hidden_size))
    if head in weights:
        with torch.no_grad():
            row_1D.copy_(weights[head])
    return row_1D


def without_head(facts: Model[Never], weights: Mapping[str, Tensor], *, head: str) -> dict[str, Tensor]:
    """Return the weights that a model with a head of one number has beside it: none of layers for further tokens."""
    names = (name for name in weights if name not in (head, HEAD) and not is_of_prediction(facts, name))
    return {name: weights[name] for name in names}


def without_prediction(facts: Model[Never], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights but those of layers for further tokens."""
    return {name: weights[name] for name in weights if not is_of_prediction(facts, name)}
