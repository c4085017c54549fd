"""A trainer of one process among several, on Megatron-core: the same numbers as the trainer of one process.

Every process is called with the same batches in the same order, takes its share, and answers with the whole.

Shape letters: T tokens of the global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Literal, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import ConfigRecord, Parallel
from compiler.ir.openness import OFF, Off
from compiler.ir.training import PolicyTrain
from runtime.engines.train.chunked_logprobs import HeadSpec
from runtime.engines.train.forward import totals_of
from runtime.engines.train.loss_terms import (
    Predicted,
    loss_of,
    loss_temperature,
    not_finite,
    nothing_to_learn,
    without,
)
from runtime.engines.train.megatron.head import VocabularyHead
from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.passes import Passes
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.megatron.routing import Routing
from runtime.engines.train.megatron.rows import Rows
from runtime.engines.train.megatron.split_model import Kept, SplitModel
from runtime.engines.train.megatron.traps import check_plan
from runtime.engines.train.packed_batch import predictable
from runtime.engines.train.routing import check_recorded
from runtime.engines.train.torch_ import TrainerSpec
from runtime.logprob_gap import GapMeter
from stdlib.algorithms._terms import Algorithm, LossOutput
from stdlib.samples import TrainBatch


class MegatronTrainer:
    """Implements runtime.protocols.Trainer in a process where torch.distributed is initialised.

    Args:
        algorithm: a module of stdlib/algorithms/, whose Params `spec.params` is an instance of.
        weights: initial weights by Hugging Face name, of which only those of this process's layers are read.
        records: of the plan's launch of this role.

    Raises: SpecError RLC0772 if this trainer does not compute what the plan asks, RLC0773 if a setting would make
    Megatron compute something else, RLC0640 if weights do not fit their model.
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
        self._spec, self._parallel, self._algorithm = spec, parallel, algorithm
        self._model = SplitModel(spec, parallel, found, weights)
        self._replayed = spec.train.routing_replay if isinstance(spec.train, PolicyTrain) else OFF
        self._routing: Routing | None = None
        moe, is_split = spec.model.moe, self._model.config.sequence_parallel
        if not isinstance(moe, Off) and not isinstance(self._replayed, Off):
            self._routing = Routing(self._model.bare, moe, num_layers=spec.model.num_layers, is_split=is_split)
        head = HeadSpec(
            chunk=spec.train.vocab_chunk,
            temperature=loss_temperature(spec),
            matmul_dtype=torch.bfloat16 if spec.train.precision == "bf16" else torch.float32,
        )
        self._head = VocabularyHead(is_split=is_split, vocab_size=spec.model.vocab_size, spec=head)
        self._passes = Passes(self._model.chunks, self._model.config, routing=self._routing)
        self._reference = self._model.copied() if spec.keep_reference else None

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs of each token given those before it; 0 at the first token of each sequence.

        The policy's tokens visit the experts that the batch names, if routing is replayed; the reference chooses.

        Raises: SpecError RLC0643 if there is no such model; RLC0642 if a sequence is above the token budget.
        """
        if of == "policy":
            with self._visiting(batch.expert_ids_TLC):
                return self._logprobs(batch)
        if of == "teacher" or self._reference is None:
            raise SpecError(without(of))
        live = self._model.copied()
        self._model.take(self._reference)
        try:
            return self._logprobs(batch)
        finally:
            self._model.take(live)

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the policy's log-probs as its old ones, and with the experts of this pass if they are
        what is replayed.
        """
        if self._routing is None or self._replayed != "trainer":
            return replace(batch, old_logprobs_T=self.logprobs(batch, of="policy"))
        with self._routing.recording(batch.tokens_T.shape[0]) as recorded:
            old_T = self.logprobs(replace(batch, expert_ids_TLC=None), of="policy")
            return replace(batch, old_logprobs_T=old_T, expert_ids_TLC=recorded())

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a whole global batch and return its metrics, `train/...`, the same on every rank.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0645 if no token
        counts in the loss; RLC0642 and RLC0643 as the batch cannot be cut or lacks log-probs; RLC0770 if routing is
        replayed that nobody recorded.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N, batch.is_right_T)
        if totals.num_tokens == 0:
            raise SpecError(nothing_to_learn(batch))
        if not isinstance(self._replayed, Off):
            read = _read(batch, wanted_T)  # of all ranks, so that all of them raise
            ids_TLC = batch.expert_ids_TLC
            check_recorded(None if ids_TLC is None else ids_TLC[read], len(read), replayed=self._replayed)
        gap = GapMeter(self._spec.gap_token_bound)
        self._model.forget_gradients()

        def use(chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> tuple[Tensor, LossOutput | None]:
            stats = self._head.stats(chunk, hidden_S1D, rows)
            if rows.tokens_M.numel() == 0:
                return stats.logprobs_M.sum() + stats.entropy_M.sum(), None
            predicted = Predicted(stats, rows.tokens_M, rows.sequence_M)
            output = loss_of(self._spec, self._algorithm, batch, predicted, totals, gap)
            return output.loss, LossOutput(output.loss.detach(), output.metrics)

        with self._visiting(batch.expert_ids_TLC):
            found: list[LossOutput | None] = self._passes.run(self._model.rows(batch, wanted_T), use, backward=True)
        loss, means, gaps = self._model.added_up(found, totals, gap.sums())
        if self._routing is not None:
            means["rerouted_frac"] = self._routing.num_rerouted() / totals.num_tokens
        metrics = self._model.optimizer.update(loss, means, role="train", not_finite=not_finite)
        return metrics | gap.joined(gaps).metrics() | {"train/num_tokens": float(totals.num_tokens)}

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights.  Raises: SpecError RLC0643 if there is no reference."""
        if self._reference is None:
            raise SpecError(without("reference"))
        self._reference = self._model.copied()

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the policy's weights by their Hugging Face names, fp32, one gathered at a time: every rank iterates."""
        yield from self._model.named_weights()

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by the names of the trainer of one process, on rank 0;
        nothing on the others.
        """
        return self._model.state(weights="model", rule="optim", kept=self._kept())

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every rank goes through all of them."""
        return self._model.whole_state(weights="model", rule="optim", kept=self._kept())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned, on whichever layout.

        Every rank is given the whole, which may be lazy.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own.
        """
        self._model.load_state(
            state, weights="model", rule="optim", kept=self._kept(), what="the checkpoint does not fit the trainer"
        )

    def _kept(self) -> Kept:
        kept: dict[str, dict[str, Tensor]] = {}
        if self._reference is not None:
            kept["reference"] = self._reference
        return kept

    def _visiting(self, expert_ids_TLC: Tensor | None) -> Any:
        return nullcontext() if self._routing is None else self._routing.given(expert_ids_TLC)

    def _logprobs(self, batch: TrainBatch) -> Tensor:
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)

        def use(chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> tuple[None, tuple[Tensor, Tensor]]:
            return None, (rows.tokens_M, self._head.stats(chunk, hidden_S1D, rows).logprobs_M.float())

        found = self._passes.run(self._model.rows(batch, wanted_T), use, backward=False)
        return self._model.values_of_all(found, batch.tokens_T.shape[0])


def _read(batch: TrainBatch, wanted_T: Tensor) -> list[int]:
    """Return the tokens that are read: of each sequence those before the last wanted one."""
    found: list[int] = []
    for first, end in pairwise(accumulate(batch.lengths_N, initial=0)):
        wanted = wanted_T[first:end].nonzero()[:, 0]
        if wanted.numel():
            found += range(first, first + int(wanted[-1]))
    return found
