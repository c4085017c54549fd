"""A trainer of one process among several, on Megatron-core: the same numbers as the trainer of one process.

Every process is called with the same batches in the same order, takes its share, and answers with the whole.

Shape letters: T tokens of the global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Never

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import ConfigRecord, Parallel
from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats
from runtime.engines.train.forward import joined, totals_of
from runtime.engines.train.hf_model import EMBEDDING, HEAD, check_names_and_shapes
from runtime.engines.train.loss_terms import (
    Predicted,
    loss_of,
    loss_temperature,
    not_finite,
    nothing_to_learn,
    without,
)
from runtime.engines.train.megatron.exchange import Exchange
from runtime.engines.train.megatron.network import build_chunks, network_config
from runtime.engines.train.megatron.optimizer import SplitOptimizer, is_finite
from runtime.engines.train.megatron.passes import Passes
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.megatron.rows import Rows, Split, rows_of
from runtime.engines.train.megatron.shares import shares
from runtime.engines.train.megatron.traps import check_plan
from runtime.engines.train.packed_batch import predictable
from runtime.engines.train.torch_ import TrainerSpec
from runtime.logprob_gap import GapMeter
from stdlib.algorithms._terms import Algorithm, LossOutput, Totals
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
        parallel_state.initialize_model_parallel(**found.of("initialize_model_parallel"))
        model_parallel_cuda_manual_seed(spec.seed)
        config = network_config(found)
        bare = build_chunks(config, found, spec.model)
        self._exchange = Exchange(bare, spec.model)
        self._fill(weights)
        replicated = DistributedDataParallelConfig(**found.of("DistributedDataParallelConfig"))
        self._chunks = [
            DistributedDataParallel(config, replicated, chunk, disable_bucketing=at > 0)
            for at, chunk in enumerate(bare)
        ]
        self._optimizer = SplitOptimizer(spec.optim, found, self._chunks)
        is_bf16 = spec.train.precision == "bf16"
        head = HeadSpec(
            chunk=spec.train.vocab_chunk,
            temperature=loss_temperature(spec),
            matmul_dtype=torch.bfloat16 if is_bf16 else torch.float32,
        )
        self._passes = Passes(self._chunks, config, vocab_size=spec.model.vocab_size, head=head)
        self._reference = self._copied() if spec.keep_reference else None

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs of each token given those before it; 0 at the first token of each sequence.

        Raises: SpecError RLC0643 if there is no such model; RLC0642 if a sequence is above the token budget.
        """
        if of == "policy":
            return self._logprobs(batch)
        if of == "teacher" or self._reference is None:
            raise SpecError(without(of))
        live = self._copied()
        self._take(self._reference)
        try:
            return self._logprobs(batch)
        finally:
            self._take(live)

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the policy's log-probs as its old ones."""
        return replace(batch, old_logprobs_T=self.logprobs(batch, of="policy"))

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a whole global batch and return its metrics, `train/...`, the same on every rank.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0645 if no token
        counts in the loss; RLC0642 and RLC0643 as the batch cannot be cut or lacks log-probs.
        """
        wanted_T = predictable(batch.mask_T, batch.lengths_N)
        totals = totals_of(wanted_T, batch.lengths_N, batch.is_right_T)
        if totals.num_tokens == 0:
            raise SpecError(nothing_to_learn(batch))
        gap = GapMeter(self._spec.gap_token_bound)
        for chunk in self._chunks:
            chunk.zero_grad_buffer()
        self._optimizer.forget_gradients()

        def use(rows: Rows, stats: TokenStats) -> tuple[Tensor, LossOutput | None]:
            if rows.tokens_M.numel() == 0:
                return stats.logprobs_M.sum() + stats.entropy_M.sum(), None
            predicted = Predicted(stats, rows.tokens_M, rows.sequence_M)
            output = loss_of(self._spec, self._algorithm, batch, predicted, totals, gap)
            return output.loss, LossOutput(output.loss.detach(), output.metrics)

        found: list[LossOutput | None] = self._passes.run(self._rows(batch, wanted_T), use, backward=True)
        loss, means, gap = self._added_up([x for x in found if x is not None], gap, totals)
        grad_norm = self._optimizer.gradient_norm()
        if not is_finite(loss, grad_norm):
            raise SpecError(not_finite(self._optimizer.num_steps, loss, grad_norm))
        metrics = {"loss": loss, "grad_norm": grad_norm, "lr": self._optimizer.step(grad_norm), **means}
        named = {f"train/{name}": value for name, value in metrics.items()}
        return named | gap.metrics() | {"train/num_tokens": float(totals.num_tokens)}

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights.  Raises: SpecError RLC0643 if there is no reference."""
        if self._reference is None:
            raise SpecError(without("reference"))
        self._reference = self._copied()

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the policy's weights by their Hugging Face names, fp32, one gathered at a time: every rank iterates."""
        for piece in self._exchange.pieces:
            yield from self._exchange.wholes(piece, lambda name: self._exchange.held[name].detach())

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, by the names of the trainer of one process, on rank 0;
        nothing on the others.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in self.whole_state():
            if dist.get_rank() == 0:
                found[name] = tensor.cpu()
        return found

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor: every rank goes through all of them."""
        yield from ((prefix + name, tensor) for prefix, name, tensor in self._state())
        yield "optim.step", torch.tensor(self._optimizer.num_steps, dtype=torch.int64)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned, on whichever layout.

        Every rank is given the whole, which may be lazy.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own.
        """
        shapes: dict[str, torch.Size] = {f"model.{n}": s for n, s in self._exchange.shapes.items()}
        if self._reference is not None:
            shapes |= {f"reference.{n}": s for n, s in self._exchange.shapes.items()}
        trained = [name for name in self._exchange.shapes if not name.endswith("e_score_correction_bias")]
        shapes |= {f"optim.{m}.{n}": self._exchange.shapes[n] for m in self._optimizer.moments for n in trained}
        shapes["optim.step"] = torch.Size()
        check_names_and_shapes(shapes, state, code="RLC0644", what="the checkpoint does not fit the trainer")
        self._optimizer.resume_at(int(state["optim.step"]))
        with torch.no_grad():
            for piece in self._exchange.pieces:
                self._load(piece, state)

    def _load(self, piece: Any, state: Mapping[str, Tensor]) -> None:
        held, optimizer = self._exchange.held, self._optimizer

        def weights(name: str, value: Tensor) -> None:
            held[name].copy_(value)
            if optimizer.is_trained(held[name]):
                optimizer.write(held[name], "weight", value)

        def reference(name: str, value: Tensor) -> None:
            if self._reference is not None:
                self._reference[name].copy_(value)

        place = self._exchange.place
        place(piece, {n: state[f"model.{n}"] for n in piece.theirs}, weights)
        if self._reference is not None:
            place(piece, {n: state[f"reference.{n}"] for n in piece.theirs}, reference)
        for moment in optimizer.moments:
            if all(f"optim.{moment}.{n}" in state for n in piece.theirs):
                place(
                    piece,
                    {n: state[f"optim.{moment}.{n}"] for n in piece.theirs},
                    lambda name, value, moment=moment: optimizer.write(held[name], moment, value),
                )

    def _state(self) -> Iterator[tuple[str, str, Tensor]]:
        held, optimizer, exchange = self._exchange.held, self._optimizer, self._exchange

        def main(name: str) -> Tensor:
            tensor = held[name]
            return optimizer.read(tensor, "weight") if optimizer.is_trained(tensor) else tensor

        for piece in exchange.pieces:
            yield from (("model.", *found) for found in exchange.wholes(piece, main))
            reference = self._reference
            if reference is not None:
                yield from (("reference.", *found) for found in exchange.wholes(piece, reference.__getitem__))
            if piece.ours[0].endswith("expert_bias"):
                continue
            for moment in optimizer.moments:

                def moments(name: str, moment: str = moment) -> Tensor:
                    return optimizer.read(held[name], moment)

                yield from ((f"optim.{moment}.", *found) for found in exchange.wholes(piece, moments))

    def _logprobs(self, batch: TrainBatch) -> Tensor:
        wanted_T = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
        found_T = torch.zeros_like(batch.mask_T, dtype=torch.float32)

        def use(rows: Rows, stats: TokenStats) -> tuple[None, tuple[Tensor, Tensor]]:
            return None, (rows.tokens_M, stats.logprobs_M.float())

        found = self._passes.run(self._rows(batch, wanted_T), use, backward=False)
        if self._says_it():
            for at, logprobs_M in found:
                found_T[at] = logprobs_M.to(found_T.device)
        device = next(iter(self._exchange.held.values())).device
        sum_T = found_T.to(device)
        dist.all_reduce(sum_T)  # of one number and zeros, which is exact
        return sum_T.to(batch.mask_T.device)

    def _rows(self, batch: TrainBatch, wanted_T: Tensor) -> list[Rows]:
        """Return this rank's micro-batches, as many as any other's."""
        parallel, held = self._parallel, next(iter(self._exchange.held.values()))
        split = Split(
            cp=parallel.cp,
            cp_rank=parallel_state.get_context_parallel_rank(),
            multiple=parallel.tp * parallel.cp * self._spec.train.packing.pad_multiple,
        )
        mine = shares(batch, self._spec, parallel, each=split.each)[parallel_state.get_data_parallel_rank()]
        return [rows_of(batch, members, wanted_T, split, device=held.device) for members in mine]

    def _added_up(
        self, found: Sequence[LossOutput], gap: GapMeter, totals: Totals
    ) -> tuple[float, dict[str, float], GapMeter]:
        """Return loss and metrics of the global batch on every rank, from what the last stages found."""
        own = None
        if self._says_it():
            sums = dict[str, tuple[float, str]]()
            for output in found:
                for name, metric in output.metrics.items():
                    sums[name] = (sums.get(name, (0.0, ""))[0] + float(metric.value), metric.over)
            own = (sum(float(output.loss) for output in found), sums), gap.sums()
        everyone: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, own)
        said = [x for x in everyone if x is not None]
        loss, means = joined([shares for shares, _ in said], totals)
        return loss, means, gap.joined([gaps for _, gaps in said])

    def _says_it(self) -> bool:
        """Whether this rank answers for those that computed the same: one of the last stage for each share."""
        return (
            parallel_state.is_pipeline_last_stage()
            and parallel_state.get_tensor_model_parallel_rank() == 0
            and parallel_state.get_context_parallel_rank() == 0
        )

    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        given = dict(weights)
        if self._spec.model.tie_embeddings and HEAD in given and given[HEAD].equal(given[EMBEDDING]):
            del given[HEAD]
        check_names_and_shapes(self._exchange.shapes, given, code="RLC0640", what="the weights do not fit the model")
        held = self._exchange.held
        with torch.no_grad():
            for piece in self._exchange.pieces:
                self._exchange.place(piece, given, lambda name, value: held[name].copy_(value))

    def _copied(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._exchange.held.items()}

    def _take(self, kept: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._exchange.held.items():
                tensor.copy_(kept[name])
