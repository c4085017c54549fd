"""What the last stage reads off its hidden states: log-probs and entropies, or one number of every token.

Where each tensor-parallel rank holds some rows of the head over the vocabulary, it computes the sums of its own rows a
slice at a time, as one process does of all rows; what meets are five numbers of every token, never a row of logits.
The gradient of a rank's own rows needs the joint sums only.

Shape letters: M wanted tokens of a micro-batch, W those whose predecessor this rank holds, S tokens that it holds, D
model width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from torch import Tensor
from typing_extensions import override

from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats, Vocabulary, token_stats
from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.rows import Rows


class VocabularyHead:
    """The head over the vocabulary, of which every tensor-parallel rank has some rows."""

    def __init__(self, *, is_split: bool, vocab_size: int, spec: HeadSpec) -> None:
        self._is_split, self._vocab_size, self._spec = is_split, vocab_size, spec

    def stats(self, chunk: Chunk, hidden_S1D: Tensor, rows: Rows) -> TokenStats:
        """Return the statistics of all M tokens, the same on all ranks that share the micro-batch.

        Args:
            hidden_S1D: this rank's own share of them under sequence parallelism.
        """
        group = parallel_state.get_tensor_model_parallel_group()
        if self._is_split:
            hidden_S1D = tensor_parallel.gather_from_sequence_parallel_region(
                hidden_S1D, tensor_parallel_output_grad=True
            )
        else:
            hidden_S1D = tensor_parallel.copy_to_tensor_model_parallel_region(hidden_S1D)
        hidden_WD = hidden_S1D[:, 0].index_select(0, rows.sources_W)
        rows_RD = chunk.head_rows
        first = group.rank() * rows_RD.shape[0]
        own_RD = rows_RD[: max(0, min(rows_RD.shape[0], self._vocab_size - first))]
        spec = self._spec._replace(vocabulary=_vocabulary(first, group))
        stats = token_stats(hidden_WD, own_RD, rows.targets_M[rows.wanted_W], spec=spec)
        return TokenStats(*_of_all(torch.stack([stats.logprobs_M, stats.entropy_M]), rows).unbind())


def numbers(chunk: Chunk, hidden_S1D: Tensor, rows: Rows, *, is_split: bool) -> Tensor:
    """Return [M] float32 the number of the head before each token, the same on all ranks that share the micro-batch.

    Tensor-parallel ranks compute all of it, so each has the whole gradient of the head and of what it was given.
    """
    if is_split:
        hidden_S1D = tensor_parallel.gather_from_sequence_parallel_region(hidden_S1D, tensor_parallel_output_grad=False)
    hidden_WD = hidden_S1D[:, 0].index_select(0, rows.sources_W)
    return _of_all((hidden_WD.float() @ chunk.number_head.float().t()).t(), rows)[0]


def _vocabulary(first: int, group: Any) -> Vocabulary:
    def largest(own: Tensor) -> Tensor:
        dist.all_reduce(own, op=dist.ReduceOp.MAX, group=group)
        return own

    def total(own: Tensor) -> Tensor:
        dist.all_reduce(own, group=group)
        return own

    def gathered(own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(group.size())]
        dist.all_gather(parts, own.contiguous(), group=group)
        return torch.cat(parts, dim=1)

    return Vocabulary(first, largest, total, gathered)


def _of_all(found_KW: Tensor, rows: Rows) -> Tensor:
    """Return [K, M], of which each rank of the context-parallel group has found some columns, where algorithms compute:
    a few numbers of every token, on the processor.
    """
    group = parallel_state.get_context_parallel_group()
    if group.size() == 1:
        return found_KW.cpu()
    empty_KM = found_KW.new_zeros(found_KW.shape[0], rows.targets_M.shape[0])
    return _Shared.apply(empty_KM.index_copy(1, rows.wanted_W, found_KW), group).cpu()


class _Shared(torch.autograd.Function):
    """The sum over a group, each element of which one rank has.  All compute the same from it, so each takes the
    gradient of its own elements as it is.
    """

    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        _, own, group = args
        found = own.clone()
        dist.all_reduce(found, group=group)
        return found

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        del ctx
        return grad_outputs[0], None
