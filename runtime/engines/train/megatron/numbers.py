"""Passes through a model with a head of one number: a critic, or a reward model.

Shape letters: T tokens of the global batch, M wanted tokens of a micro-batch, S tokens that this rank holds, D model
width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from runtime.engines.train.megatron.head import numbers
from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.passes import Passes
from runtime.engines.train.megatron.rows import Rows
from runtime.engines.train.megatron.split_model import SplitModel
from stdlib.algorithms._terms import LossOutput, Totals
from stdlib.samples import TrainBatch

# The share of a micro-batch, of the number before each of its wanted tokens.
Loss = Callable[[Tensor, Rows], LossOutput]


class Numbers:
    """Passes through a model whose last stage has one number for every token."""

    def __init__(self, model: SplitModel) -> None:
        self._model, self._passes = model, Passes(model.chunks, model.config)

    def of(self, batch: TrainBatch, wanted_T: Tensor, *, lengths: Sequence[int] | None = None) -> Tensor:
        """Return [T] float32 the number before each wanted token, 0 elsewhere, on every rank.

        Args:
            lengths: by which the batch is cut, where sequences have a place at their end that holds no token.
        """

        def use(chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> tuple[None, tuple[Tensor, Tensor]]:
            return None, (rows.tokens_M, self._read(chunk, hidden_S1D, rows))

        found = self._passes.run(self._model.rows(batch, wanted_T, lengths=lengths), use, backward=False)
        return self._model.values_of_all(found, batch.tokens_T.shape[0])

    def learn(
        self,
        batch: TrainBatch,
        wanted_T: Tensor,
        loss_of: Loss,
        totals: Totals,
        *,
        lengths: Sequence[int] | None = None,
    ) -> tuple[float, dict[str, float]]:
        """Return loss and metrics of the global batch; every rank then has its gradients."""
        self._model.forget_gradients()

        def use(chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> tuple[Tensor, LossOutput | None]:
            numbers_M = self._read(chunk, hidden_S1D, rows)
            if rows.tokens_M.numel() == 0:
                return numbers_M.sum(), None
            output = loss_of(numbers_M, rows)
            return output.loss, LossOutput(output.loss.detach(), output.metrics)

        found = self._passes.run(self._model.rows(batch, wanted_T, lengths=lengths), use, backward=True)
        loss, means, _ = self._model.added_up(found, totals)
        return loss, means

    def _read(self, chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> Tensor:
        return numbers(chunk, hidden_S1D, rows, is_split=self._model.config.sequence_parallel)
