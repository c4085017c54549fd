"""A trainer of reward models on Megatron-core: the same numbers as that of one process.

Every process is called with the same batches in the same order, takes its share, and answers with the whole.

Shape letters: N answers, T tokens of all of them end to end, M answers of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.machine import ConfigRecord, Parallel
from runtime.engines.train.megatron.numbers import Numbers
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.megatron.rows import Rows
from runtime.engines.train.megatron.split_model import SplitModel
from runtime.engines.train.megatron.traps import check_plan
from runtime.engines.train.reward_model import score_not_finite, with_ends
from runtime.engines.train.torch_ import TrainerSpec
from runtime.weights.huggingface import SCORE_HEAD
from stdlib.algorithms._terms import Algorithm, LossOutput, ScoreTerms, Totals
from stdlib.samples import TrainBatch


class MegatronRewardModel:
    """Implements runtime.protocols.Scorer in a process where torch.distributed is initialised.

    Args:
        algorithm: a module of stdlib/algorithms/, whose Params `spec.params` is an instance of.
        weights: initial weights by Hugging Face name.  Without `score.weight` the head begins with zeros; a head over
            the vocabulary is left out.
        records: of the plan's launch of this role.

    Raises: SpecError as MegatronTrainer.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        parallel: Parallel[Never],
        algorithm: Algorithm,
        weights: Mapping[str, Tensor],
        *,
        records: Sequence[ConfigRecord],
    ) -> None:
        found = Records(records)
        check_plan(spec, parallel, found)
        self._spec, self._algorithm = spec, algorithm
        self._model = SplitModel(spec, parallel, found, weights, head=SCORE_HEAD)
        self._numbers = Numbers(self._model)

    def scores(self, batch: TrainBatch) -> Tensor:
        """Return [N] float32 the score of each answer.  Raises: SpecError RLC0642 if one is above the token budget."""
        ends_T, wanted_T, ends_N = _ends(batch)
        return self._numbers.of(ends_T, wanted_T, lengths=batch.lengths_N)[ends_N]

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with targets and return its metrics, `train/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0642 if the batch
        cannot be cut.
        """
        targets_N, count = batch.targets_N, len(batch.lengths_N)
        if targets_N is None:
            raise InternalError("a reward model was given a batch without targets")
        ends_T, wanted_T, ends_N = _ends(batch)
        answers_T = torch.zeros_like(ends_T.tokens_T).index_copy(0, ends_N, torch.arange(count))
        totals = Totals(num_tokens=count, num_sequences=count, num_nonempty=count)

        def loss_of(scores_M: Tensor, rows: Rows) -> LossOutput:
            terms = ScoreTerms(scores_N=scores_M, targets_N=targets_N[answers_T[rows.tokens_M]])
            return self._algorithm.loss(self._spec.params, terms, totals)

        loss, means = self._numbers.learn(ends_T, wanted_T, loss_of, totals, lengths=batch.lengths_N)
        metrics = self._model.optimizer.update(loss, means, role="train", not_finite=score_not_finite)
        return metrics | {"train/num_tokens": float(sum(batch.lengths_N))}

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the live weights by their Hugging Face names, fp32, the head among them: every rank iterates."""
        yield from self._model.named_weights()

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by the names of the trainer of one process, on rank 0;
        nothing on the others.
        """
        return self._model.state(weights="model", rule="optim")

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every rank goes through all of them."""
        return self._model.whole_state(weights="model", rule="optim")

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned.  Raises: SpecError RLC0644 if names or shapes differ."""
        self._model.load_state(
            state, weights="model", rule="optim", what="the checkpoint does not fit the reward model"
        )


def _ends(batch: TrainBatch) -> tuple[TrainBatch, Tensor, Tensor]:
    """Return the batch with a place behind each answer, what is wanted of it, and where these places are."""
    ends_T = with_ends(batch)
    ends_N = torch.tensor([end - 1 for end in accumulate(ends_T.lengths_N)])
    return ends_T, torch.zeros(len(ends_T.tokens_T)).index_fill(0, ends_N, 1.0), ends_N
