"""A critic on PyTorch: the policy's network with a head of one number, and an optimizer of its own.

The value of a token is that of the state before it, computed from the hidden state that predicts it.

Shape letters: T tokens of the batch, M wanted tokens of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError
from compiler.ir.algorithm import Critic
from runtime.engines.train.forward import accumulated, micro_batches, totals_of
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_batch import PackedBatch, predictable
from runtime.engines.train.spread import OneProcess, Spread
from runtime.engines.train.state import Held, check_state, held_by, held_by_rule, load, load_rule, saved, wholes
from runtime.engines.train.torch_ import TrainerSpec
from stdlib.algorithms._terms import CriticAlgorithm, LossOutput, Totals, ValueTerms
from stdlib.samples import TrainBatch

VALUE_HEAD = "value_head.weight"


class TorchCritic:
    """Implements runtime.protocols.Critic.

    Args:
        spec: `optim` is the critic's own.
        algorithm: a module of stdlib/algorithms/ with a `value_loss`.
        weights: initial weights of the policy by Hugging Face name; copied.  The value head begins with zeros.
        spread: over which processes; this one alone, if nothing is said.

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        critic: Critic,
        algorithm: CriticAlgorithm,
        weights: Mapping[str, Tensor],
        *,
        spread: Spread | None = None,
    ) -> None:
        self._spec = spec
        self._spread = OneProcess() if spread is None else spread
        self._critic = critic
        self._algorithm = algorithm
        self._network = self._spread.scalar_network(spec.model, weights, head=VALUE_HEAD)
        self._optimizer = Optimizer(spec.optim, self._network.trained(), norm=self._network.norm)

    def values(self, batch: TrainBatch) -> Tensor:
        """Return [T] float32 the value of the state before each token; 0 at the first token of each sequence."""
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
        found_T = torch.full_like(batch.mask_T, -torch.inf, dtype=torch.float32)
        dealt = self._spread.deal(batch, self._spec, wanted_T)
        with torch.no_grad():
            for packed, is_idle in micro_batches(batch, dealt, wanted_T, self._network.heads):
                values_M = self._network.run(partial(self._network.numbers, packed, self._spec.train))
                if not is_idle:
                    found_T[packed.tokens_M] = values_M
        self._network.rest()
        return self._spread.joined(found_T).masked_fill_(wanted_T == 0, 0.0)

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with values and returns, and return its metrics, `critic/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N)
        dealt = self._spread.deal(batch, self._spec, wanted_T)
        shares = (
            self._network.run(partial(self._share, batch, packed, totals, is_idle=is_idle))
            for packed, is_idle in micro_batches(batch, dealt, wanted_T, self._network.heads)
        )
        loss, means = accumulated(shares, totals, self._spread)
        self._network.settle()
        return self._optimizer.update(loss, means, role="critic", not_finite=critic_not_finite)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs: `critic.<name>`, `critic_optim.<moment>.<name>`."""
        return saved(self._held(), keeps=self._spread.keeps_state)

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every process goes through all of them."""
        return wholes(self._held())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned.  Raises: SpecError RLC0644 if names or shapes differ."""
        held = self._held()
        check_state(held, state, what="the checkpoint does not fit the critic")
        load({name: own for name, own in held.items() if name.startswith("critic.")}, state)
        load_rule(self._optimizer, self._network, state, "critic_optim")

    def _held(self) -> dict[str, Held]:
        return held_by(self._network, "critic") | held_by_rule(self._optimizer, self._network, "critic_optim")

    def _share(self, batch: TrainBatch, packed: PackedBatch, totals: Totals, *, is_idle: bool) -> LossOutput:
        if is_idle:
            return LossOutput(self._network.numbers(packed, self._spec.train).sum() * 0.0, {})
        return self._loss(batch, packed, totals)

    def _loss(self, batch: TrainBatch, packed: PackedBatch, totals: Totals) -> LossOutput:
        values_M = self._network.numbers(packed, self._spec.train)
        terms = value_terms(batch, values_M, packed.tokens_M, packed.sequence_M)
        return self._algorithm.value_loss(self._critic, terms, totals)


def value_terms(batch: TrainBatch, values_M: Tensor, tokens_M: Tensor, sequence_M: Tensor) -> ValueTerms:
    """Return what the critic learns from, of wanted tokens at indices of the batch and of their sequences."""
    if batch.values_T is None or batch.returns_T is None:
        raise InternalError("a critic was given a batch without values and returns")
    return ValueTerms(
        values_T=values_M,
        old_values_T=batch.values_T[tokens_M],
        returns_T=batch.returns_T[tokens_M],
        mask_T=torch.ones_like(values_M),
        sequence_T=sequence_M,
    )


def critic_not_finite(step: int, loss: float, grad_norm: float) -> Diagnostic:
    """Say that a step was not taken."""
    return Diagnostic(
        "RLC0641",
        f"the critic's optimizer step {step} has loss {loss:g} and gradient norm {grad_norm:g}; "
        "its weights are unchanged",
        help=(Help("lower critic.lr or set optim.clip_grad_norm, and look at the rewards of this step"),),
        paths=("critic.lr", "optim.clip_grad_norm"),
    )
