"""A trained model, of which this process has a part: built from a plan's records, filled, stepped, and saved whole.

Shape letters: T tokens of the global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Never

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed
from torch import Tensor

from compiler.ir.machine import Parallel
from runtime.engines.train.forward import joined
from runtime.engines.train.hf_model import EMBEDDING, HEAD, check_names_and_shapes
from runtime.engines.train.megatron.exchange import Exchange
from runtime.engines.train.megatron.names import Piece
from runtime.engines.train.megatron.network import build_chunks, network_config
from runtime.engines.train.megatron.optimizer import SplitOptimizer
from runtime.engines.train.megatron.records import Records
from runtime.engines.train.megatron.rows import Rows, Split, rows_of
from runtime.engines.train.megatron.shares import shares
from runtime.engines.train.spread import first_row, without_head
from runtime.engines.train.torch_ import TrainerSpec
from stdlib.algorithms._terms import LossOutput, Totals
from stdlib.samples import TrainBatch

Kept = Mapping[str, Mapping[str, Tensor]]


class SplitModel:
    """The part of this process: `bare` are its chunks, `chunks` the same with their gradients added up over ranks.

    Args:
        weights: initial ones by Hugging Face name, of which only those of this process's layers are read.
        head: what a head of one number is called, where the model has one in the place of the vocabulary.

    Raises: SpecError RLC0640 if weights do not fit the model.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        parallel: Parallel[Never],
        records: Records,
        weights: Mapping[str, Tensor],
        *,
        head: str | None = None,
    ) -> None:
        self._spec, self._parallel = spec, parallel
        if not parallel_state.model_parallel_is_initialized():  # by another model of this process, of the same layout
            parallel_state.initialize_model_parallel(**records.of("initialize_model_parallel"))
        model_parallel_cuda_manual_seed(spec.seed)
        self.config = network_config(records)
        self.bare = build_chunks(self.config, records, spec.model, has_vocabulary=head is None)
        self.exchange = Exchange(self.bare, spec.model, head=head)
        replicated = DistributedDataParallelConfig(**records.of("DistributedDataParallelConfig"))
        self.chunks = [
            DistributedDataParallel(self.config, replicated, chunk, disable_bucketing=at > 0)
            for at, chunk in enumerate(self.bare)
        ]
        self.optimizer = SplitOptimizer(spec.optim, records, self.chunks)
        self._fill(weights, head)

    @property
    def device(self) -> torch.device:
        """Where this process's part is."""
        return next(iter(self.exchange.held.values())).device

    def forget_gradients(self) -> None:
        """Let a step begin."""
        for chunk in self.chunks:
            chunk.zero_grad_buffer()
        self.optimizer.forget_gradients()

    def copied(self) -> dict[str, Tensor]:
        """Return copies of this process's weights, by Megatron's names."""
        return {name: tensor.detach().clone() for name, tensor in self.exchange.held.items()}

    def take(self, kept: Mapping[str, Tensor]) -> None:
        """Take over what `copied` returned."""
        with torch.no_grad():
            for name, tensor in self.exchange.held.items():
                tensor.copy_(kept[name])

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their Hugging Face names, fp32, one gathered at a time: every rank iterates."""
        for piece in self.exchange.pieces:
            yield from self.exchange.wholes(piece, lambda name: self.exchange.held[name].detach())

    def rows(self, batch: TrainBatch, wanted_T: Tensor, *, lengths: Sequence[int] | None = None) -> list[Rows]:
        """Return this rank's micro-batches, as many as any other's.

        Args:
            lengths: by which the batch is cut, if not by those of its sequences.

        Raises: SpecError RLC0642 if a sequence is above the token budget.
        """
        parallel = self._parallel
        split = Split(
            cp=parallel.cp,
            cp_rank=parallel_state.get_context_parallel_rank(),
            multiple=parallel.tp * parallel.cp * self._spec.train.packing.pad_multiple,
        )
        cut = batch if lengths is None else replace(batch, lengths_N=tuple(lengths))
        mine = shares(cut, self._spec, parallel, each=split.each)[parallel_state.get_data_parallel_rank()]
        return [rows_of(batch, members, wanted_T, split, device=self.device) for members in mine]

    def says_it(self) -> bool:
        """Whether this rank answers for those that computed the same: one of the last stage for each share."""
        return (
            parallel_state.is_pipeline_last_stage()
            and parallel_state.get_tensor_model_parallel_rank() == 0
            and parallel_state.get_context_parallel_rank() == 0
        )

    def values_of_all(self, found: Sequence[tuple[Tensor, Tensor]], num_tokens: int) -> Tensor:
        """Return [T] float32, on every rank, what the last stages found at indices of the batch; 0 elsewhere."""
        found_T = torch.zeros(num_tokens)
        if self.says_it():
            for at, values_M in found:
                found_T[at] = values_M.to(found_T.device)
        sum_T = found_T.to(self.device)
        dist.all_reduce(sum_T)  # of one number and zeros, which is exact
        return sum_T.cpu()

    def added_up(
        self, found: Sequence[LossOutput | None], totals: Totals, more: Any = None
    ) -> tuple[float, dict[str, float], list[Any]]:
        """Return loss and metrics of the global batch on every rank, from what the last stages found of each
        micro-batch, and `more` of each of them.
        """
        own = None
        if self.says_it():
            outputs = [output for output in found if output is not None]
            sums = dict[str, tuple[float, str]]()
            for output in outputs:
                for name, metric in output.metrics.items():
                    sums[name] = (sums.get(name, (0.0, ""))[0] + float(metric.value), metric.over)
            own = (sum(float(output.loss) for output in outputs), sums), more
        everyone: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, own)
        said = [x for x in everyone if x is not None]
        loss, means = joined([share for share, _ in said], totals)
        return loss, means, [other for _, other in said]

    def state(self, *, weights: str, rule: str, kept: Kept | None = None) -> dict[str, Tensor]:
        """Return copies of weights, of what the update rule keeps, and of other weights of the same model, by the
        names of the trainer of one process, on rank 0; nothing on the others.

        Args:
            weights, rule: what begins the names of either; `kept` has others by what begins theirs.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in self.whole_state(weights=weights, rule=rule, kept=kept):
            if dist.get_rank() == 0:
                found[name] = tensor.cpu()
        return found

    def whole_state(self, *, weights: str, rule: str, kept: Kept | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every rank goes through all of them."""
        yield from self._wholes(weights, rule, kept or {})
        yield f"{rule}.step", torch.tensor(self.optimizer.num_steps, dtype=torch.int64)

    def load_state(
        self, state: Mapping[str, Tensor], *, weights: str, rule: str, what: str, kept: Kept | None = None
    ) -> None:
        """Take over what `state` returned, on whichever layout.  Every rank is given the whole, which may be lazy.

        Raises: SpecError RLC0644 with `what` if names or shapes differ.
        """
        named, kept = self.exchange.shapes, kept or {}
        shapes = {f"{prefix}.{n}": s for prefix in (weights, *kept) for n, s in named.items()}
        trained = [name for name in named if not name.endswith("e_score_correction_bias")]
        shapes |= {f"{rule}.{m}.{n}": named[n] for m in self.optimizer.moments for n in trained}
        shapes[f"{rule}.step"] = torch.Size()
        check_names_and_shapes(shapes, state, code="RLC0644", what=what)
        self.optimizer.resume_at(int(state[f"{rule}.step"]))
        with torch.no_grad():
            for piece in self.exchange.pieces:
                self._load(piece, state, (weights, rule), kept)

    def _load(self, piece: Piece, state: Mapping[str, Tensor], names: tuple[str, str], kept: Kept) -> None:
        held, optimizer, (weights, rule) = self.exchange.held, self.optimizer, names
        place = self.exchange.place
        place(piece, {n: state[f"{weights}.{n}"] for n in piece.theirs}, self._write)
        for prefix, others in kept.items():
            given = {n: state[f"{prefix}.{n}"] for n in piece.theirs}
            place(piece, given, lambda name, value, others=others: others[name].copy_(value))
        for moment in optimizer.moments:
            if all(f"{rule}.{moment}.{n}" in state for n in piece.theirs):
                place(
                    piece,
                    {n: state[f"{rule}.{moment}.{n}"] for n in piece.theirs},
                    lambda name, value, moment=moment: optimizer.write(held[name], moment, value),
                )

    def _wholes(self, weights: str, rule: str, kept: Kept) -> Iterator[tuple[str, Tensor]]:
        held, optimizer, exchange = self.exchange.held, self.optimizer, self.exchange

        def main(name: str) -> Tensor:
            tensor = held[name]
            return optimizer.read(tensor, "weight") if optimizer.is_trained(tensor) else tensor

        for piece in exchange.pieces:
            yield from ((f"{weights}.{n}", tensor) for n, tensor in exchange.wholes(piece, main))
            for prefix, others in kept.items():
                yield from ((f"{prefix}.{n}", tensor) for n, tensor in exchange.wholes(piece, others.__getitem__))
            if piece.ours[0].endswith("expert_bias"):
                continue
            for moment in optimizer.moments:

                def moments(name: str, moment: str = moment) -> Tensor:
                    return optimizer.read(held[name], moment)

                yield from ((f"{rule}.{moment}.{n}", tensor) for n, tensor in exchange.wholes(piece, moments))

    def _fill(self, weights: Mapping[str, Tensor], head: str | None) -> None:
        given = dict(weights)
        if head is not None:
            row_1D = first_row(self._spec.model, given, head=head).detach()
            given = {**without_head(self._spec.model, given, head=head), head: row_1D}
        elif self._spec.model.tie_embeddings and HEAD in given and given[HEAD].equal(given[EMBEDDING]):
            del given[HEAD]
        check_names_and_shapes(self.exchange.shapes, given, code="RLC0640", what="the weights do not fit the model")
        with torch.no_grad():
            for piece in self.exchange.pieces:
                self.exchange.place(piece, given, self._write)

    def _write(self, name: str, value: Tensor) -> None:
        """Let a weight, and what is kept of it in fp32 beside it, be this."""
        own = self.exchange.held[name]
        own.copy_(value)
        if self.optimizer.is_trained(own):
            self.optimizer.write(own, "weight", value)
