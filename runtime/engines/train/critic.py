"""A critic on PyTorch: the policy's network with a head of one number, and an optimizer of its own.

The value of a token is that of the state before it, computed from the hidden state that predicts it.

Shape letters: T tokens of the batch, M wanted tokens of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError
from compiler.ir.algorithm import Critic
from runtime.engines.train.forward import accumulated, cut, totals_of
from runtime.engines.train.hf_model import check_names_and_shapes
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_batch import PackedBatch, pack, predictable
from runtime.engines.train.scalar_head import ScalarHead
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

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(
        self, spec: TrainerSpec, critic: Critic, algorithm: CriticAlgorithm, weights: Mapping[str, Tensor]
    ) -> None:
        self._spec = spec
        self._critic = critic
        self._algorithm = algorithm
        self._network = ScalarHead(spec, weights, head=VALUE_HEAD)
        self._optimizer = Optimizer(spec.optim, self._network.parameters())

    def values(self, batch: TrainBatch) -> Tensor:
        """Return [T] float32 the value of the state before each token; 0 at the first token of each sequence."""
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
        found_T = torch.zeros_like(batch.mask_T, dtype=torch.float32)
        with torch.no_grad():
            for sequences in cut(batch, self._spec):
                packed = pack(batch, sequences, wanted_T, heads=self._network.heads)
                if packed is not None:
                    found_T[packed.tokens_M] = self._network.numbers(packed)
        return found_T

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with values and returns, and return its metrics, `critic/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N)
        shares = (
            self._loss(batch, packed, totals)
            for sequences in cut(batch, self._spec)
            if (packed := pack(batch, sequences, wanted_T, heads=self._network.heads)) is not None
        )
        loss, means = accumulated(shares, totals)
        return self._optimizer.update(loss, means, role="critic", not_finite=_not_finite)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs: `critic.<name>`, `critic_optim.<moment>.<name>`."""
        return {name: live.detach().clone() for name, live in self._live_state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned.  Raises: SpecError RLC0644 if names or shapes differ."""
        live = self._live_state()
        shapes = {name: tensor.shape for name, tensor in live.items()}
        check_names_and_shapes(shapes, state, code="RLC0644", what="the checkpoint does not fit the critic")
        with torch.no_grad():
            for name, tensor in live.items():
                if name.startswith("critic."):
                    tensor.copy_(state[name])
        own = {n.removeprefix("critic_optim."): t for n, t in state.items() if n.startswith("critic_optim.")}
        self._optimizer.load_state(own)

    def _live_state(self) -> dict[str, Tensor]:
        found = {f"critic.{name}": parameter for name, parameter in self._network.weights().items()}
        return found | {f"critic_optim.{name}": tensor for name, tensor in self._optimizer.state().items()}

    def _loss(self, batch: TrainBatch, packed: PackedBatch, totals: Totals) -> LossOutput:
        if batch.values_T is None or batch.returns_T is None:
            raise InternalError("a critic was given a batch without values and returns")
        values_M, at = self._network.numbers(packed), packed.tokens_M
        terms = ValueTerms(
            values_T=values_M,
            old_values_T=batch.values_T[at],
            returns_T=batch.returns_T[at],
            mask_T=torch.ones_like(values_M),
            sequence_T=packed.sequence_M,
        )
        return self._algorithm.value_loss(self._critic, terms, totals)


def _not_finite(step: int, loss: float, grad_norm: float) -> Diagnostic:
    return Diagnostic(
        "RLC0641",
        f"the critic's optimizer step {step} has loss {loss:g} and gradient norm {grad_norm:g}; "
        "its weights are unchanged",
        help=(Help("lower critic.lr or set optim.clip_grad_norm, and look at the rewards of this step"),),
        paths=("critic.lr", "optim.clip_grad_norm"),
    )
