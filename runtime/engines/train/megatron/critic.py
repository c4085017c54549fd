"""A critic on Megatron-core: the same numbers as the critic of one process.

Every process is called with the same batches in the same order, takes its share, and answers with the whole.

Shape letters: T tokens of the global batch, M wanted tokens of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Never

import torch
from torch import Tensor

from compiler.ir.algorithm import Critic
from compiler.ir.machine import ConfigRecord, Parallel
from runtime.engines.train.critic import VALUE_HEAD, critic_not_finite, value_terms
from runtime.engines.train.forward import totals_of
from runtime.engines.train.megatron.numbers import Numbers
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.megatron.rows import Rows
from runtime.engines.train.megatron.split_model import SplitModel
from runtime.engines.train.megatron.traps import check_plan
from runtime.engines.train.packed_batch import predictable
from runtime.engines.train.torch_ import TrainerSpec
from stdlib.algorithms._terms import CriticAlgorithm, LossOutput
from stdlib.samples import TrainBatch


class MegatronCritic:
    """Implements runtime.protocols.Critic in a process where torch.distributed is initialised.

    Args:
        spec: `optim` is the critic's own.
        algorithm: a module of stdlib/algorithms/ with a `value_loss`.
        weights: initial weights of the policy by Hugging Face name.  The value head begins with zeros.
        records: of the plan's launch of the trainer.

    Raises: SpecError as MegatronTrainer.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        parallel: Parallel[Never],
        critic: Critic,
        algorithm: CriticAlgorithm,
        weights: Mapping[str, Tensor],
        *,
        records: Sequence[ConfigRecord],
    ) -> None:
        found = Records(records)
        check_plan(spec, parallel, found)
        self._critic, self._algorithm = critic, algorithm
        self._model = SplitModel(spec, parallel, found, weights, head=VALUE_HEAD)
        self._numbers = Numbers(self._model)

    def values(self, batch: TrainBatch) -> Tensor:
        """Return [T] float32 the value of the state before each token; 0 at the first token of each sequence."""
        return self._numbers.of(batch, predictable(torch.ones_like(batch.mask_T), batch.lengths_N))

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with values and returns, and return its metrics, `critic/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N)

        def loss_of(values_M: Tensor, rows: Rows) -> LossOutput:
            terms = value_terms(batch, values_M, rows.tokens_M, rows.sequence_M)
            return self._algorithm.value_loss(self._critic, terms, totals)

        loss, means = self._numbers.learn(batch, wanted_T, loss_of, totals)
        return self._model.optimizer.update(loss, means, role="critic", not_finite=critic_not_finite)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by the names of the critic of one process, on rank 0;
        nothing on the others.
        """
        return self._model.state(weights="critic", rule="critic_optim")

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every rank goes through all of them."""
        return self._model.whole_state(weights="critic", rule="critic_optim")

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned.  Raises: SpecError RLC0644 if names or shapes differ."""
        self._model.load_state(
            state, weights="critic", rule="critic_optim", what="the checkpoint does not fit the critic"
        )
