"""Passes over the micro-batches of this process, through the pipeline that the plan says.

Shape letters: T tokens of the global batch, M wanted tokens of a micro-batch, W those whose predecessor this rank
holds, S tokens that it holds, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from megatron.core.distributed.finalize_model_grads import finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import unwrap_model
from torch import Tensor
from typing_extensions import override

from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats
from runtime.engines.train.megatron.head import split_token_stats
from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.routing import Routing
from runtime.engines.train.megatron.rows import Rows

# What is made of the statistics of a micro-batch: a scalar to differentiate, or None, and something to return.
Use = Callable[[Rows, TokenStats], tuple[Tensor | None, Any]]


class Passes:
    """Passes through the chunks of one model."""

    def __init__(
        self, chunks: Sequence[Any], config: Any, *, vocab_size: int, head: HeadSpec, routing: Routing | None = None
    ) -> None:
        self._chunks, self._config, self._vocab_size, self._head = list(chunks), config, vocab_size, head
        self._routing = routing
        config.finalize_model_grads_func = _add_up_gradients

    def run(self, rows: Sequence[Rows], use: Use, *, backward: bool) -> list[Any]:
        """Return what `use` returned of every micro-batch, on the last stage; nothing on the others.

        Where gradients are wanted they are complete on every rank when this returns.
        """
        config: Any = self._config
        config.no_sync_func = None
        if backward and self._chunks[0].ddp_config.overlap_grad_reduce:
            each = [chunk.no_sync for chunk in self._chunks]
            config.no_sync_func = each if len(each) > 1 else each[0]
        chunks = self._chunks if backward else unwrap_model(self._chunks)
        for chunk in chunks:
            chunk.train(backward)

        def forward_step(data: Iterator[Rows], chunk: Any) -> tuple[Tensor, Callable[..., Any]]:
            packed = next(data)
            routing = self._routing
            with nullcontext() if routing is None else routing.over(unwrap_model(chunk), packed):
                out = chunk(packed.tokens_1S, packed.positions_1S, None, packed_seq_params=packed.sequences)

            def loss(hidden_S1D: Tensor, non_loss_data: bool = False) -> Any:
                share, found = use(packed, self._stats(unwrap_model(chunk), hidden_S1D, packed))
                if non_loss_data:
                    return found
                # The loss is a share of a sum already; what Megatron divides by is left at nothing.
                assert share is not None
                return share, torch.zeros((), dtype=torch.int, device=share.device), found

            return out, loss

        with torch.set_grad_enabled(backward):
            found: list[Any] = get_forward_backward_func()(
                forward_step_func=forward_step,
                data_iterator=[iter(rows) for _ in chunks] if len(chunks) > 1 else iter(rows),
                model=chunks if len(chunks) > 1 else chunks[0],
                num_microbatches=len(rows),
                seq_length=rows[0].tokens_1S.shape[1],
                micro_batch_size=1,
                forward_only=not backward,
                collect_non_loss_data=not backward,
            )
        return found

    def _stats(self, chunk: Chunk, hidden_S1D: Tensor, packed: Rows) -> TokenStats:
        """Return the statistics of all M tokens, the same on all ranks that share the micro-batch."""
        group = parallel_state.get_tensor_model_parallel_group()
        if self._config.sequence_parallel:
            hidden_S1D = tensor_parallel.gather_from_sequence_parallel_region(
                hidden_S1D, tensor_parallel_output_grad=True
            )
        else:
            hidden_S1D = tensor_parallel.copy_to_tensor_model_parallel_region(hidden_S1D)
        hidden_WD = hidden_S1D[:, 0].index_select(0, packed.sources_W)
        rows_RD = chunk.head_rows
        first = group.rank() * rows_RD.shape[0]
        own_RD = rows_RD[: max(0, min(rows_RD.shape[0], self._vocab_size - first))]
        targets_W = packed.targets_M[packed.wanted_W]
        stats = split_token_stats(hidden_WD, own_RD, targets_W, first_row=first, group=group, spec=self._head)
        cp_group = parallel_state.get_context_parallel_group()
        if cp_group.size() == 1:
            return stats
        found_2W = torch.stack([stats.logprobs_M, stats.entropy_M])
        found_2M = found_2W.new_zeros(2, packed.targets_M.shape[0]).index_copy(1, packed.wanted_W, found_2W)
        return TokenStats(*_Shared.apply(found_2M, cp_group).unbind())


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


def _add_up_gradients(chunks: Sequence[Any], *_: Any, **kwargs: Any) -> None:
    """Losses are shares of the global batch's already, so their gradients are added up and not divided."""
    finalize_model_grads(list(chunks), None, **{k: v for k, v in kwargs.items() if k == "force_all_reduce"})
