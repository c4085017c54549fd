"""Weights on their way from the trainer to a rollout engine, and the proof that they arrived."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.protocols import HasWeights, Learner, RolloutEngine


def sync_weights(trainer: Learner, engine: RolloutEngine, version: int, *, verify: bool) -> None:
    """Give an engine the trainer's weights as a version, and with `verify` compare them bit by bit afterwards.

    An engine with a smaller number format has to hold what rounding the trainer's weights gives.
    Raises: SpecError RLC0621 naming the first tensor that differs.
    """
    engine.load_weights(_detached(trainer), version=version)
    if verify:
        verify_weights(trainer, engine, version=version)


def verify_weights(trainer: HasWeights, engine: RolloutEngine, *, version: int) -> None:
    """Compare an engine's weights with the trainer's.  Raises: SpecError RLC0621."""
    held = dict(engine.weights())
    for name, sent in _detached(trainer):
        got = held.pop(name, None)
        fault = "is not among the engine's weights" if got is None else _difference(sent, got)
        if fault:
            raise _arrived_changed(f"{name} {fault}", version)
    if held:
        raise _arrived_changed(f"{next(iter(held))} is not among the trainer's weights", version)


def _detached(trainer: HasWeights) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in trainer.named_weights():
        yield name, tensor.detach()


def _difference(sent: Tensor, got: Tensor) -> str:
    if sent.shape != got.shape:
        return f"has shape {list(got.shape)} in the engine and {list(sent.shape)} in the trainer"
    expected = sent.to(device=got.device, dtype=got.dtype)
    # As bytes: a NaN equals itself, and 0 differs from -0.
    differs = expected.reshape(-1, 1).view(torch.uint8) != got.detach().reshape(-1, 1).view(torch.uint8)
    num_differing = int(differs.any(-1).sum())
    if not num_differing:
        return ""
    largest = float((expected.double() - got.detach().double()).abs().max())
    return f"differs in {num_differing:,} of {got.numel():,} numbers, by {largest:.3g} at most"


def _arrived_changed(fact: str, version: int) -> SpecError:
    return SpecError(
        Diagnostic(
            code="RLC0621",
            message=f"weight version {version} did not arrive in the rollout engine as the trainer sent it: {fact}",
            help=(Help("the engine sampled from other weights than those trained; do not trust this run's samples"),),
        )
    )
