"""Weights that nobody trains: what a stage that only samples has in the place of a trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.model import Model
from runtime.engines.train.hf_model import build_model, check_names_and_shapes, held_weights
from stdlib.samples import TrainBatch


class FixedWeights:
    """Implements runtime.protocols.Trainer for a stage that takes no step: no gradient, no optimizer, no reference.

    Raises: SpecError RLC0640 if weights do not fit their model.
    """

    def __init__(self, model: Model[Never], weights: Mapping[str, Tensor]) -> None:
        self._policy = build_model(model, weights).requires_grad_(False)

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Nothing asks for it."""
        raise InternalError("a step of a stage that only samples")

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Nothing asks for it."""
        raise InternalError("log-probs of a stage that only samples")

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Nothing asks for it."""
        raise InternalError("old log-probs of a stage that only samples")

    def refresh_reference(self) -> None:
        """Nothing asks for it."""
        raise InternalError("a reference of a stage that only samples")

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their Hugging Face names, fp32; a tied head is not repeated."""
        yield from held_weights(self._policy).items()

    def state(self) -> dict[str, Tensor]:
        """Return copies of the weights under `model.<name>`."""
        return {f"model.{name}": tensor.detach().clone() for name, tensor in self.named_weights()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned.  Raises: SpecError RLC0644 if names or shapes differ."""
        live = {f"model.{name}": tensor for name, tensor in self.named_weights()}
        shapes = {name: tensor.shape for name, tensor in live.items()}
        check_names_and_shapes(shapes, state, code="RLC0644", what="the checkpoint does not fit the model")
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(state[name])
