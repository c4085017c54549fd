"""Passes over the micro-batches of this process, through the pipeline that the plan says.

Shape letters: S tokens that this rank holds, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from megatron.core.distributed.finalize_model_grads import finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import unwrap_model
from torch import Tensor

from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.routing import Routing
from runtime.engines.train.megatron.rows import Rows

# What is made of a micro-batch and the hidden states that the last chunk returned of it: a scalar to differentiate, or
# None, and something to return.
Use = Callable[[Chunk, Tensor, Rows], tuple[Tensor | None, Any]]


class Passes:
    """Passes through the chunks of one model."""

    def __init__(self, chunks: Sequence[Any], config: Any, *, routing: Routing | None = None) -> None:
        self._chunks, self._config = list(chunks), config
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
                share, found = use(unwrap_model(chunk), hidden_S1D, packed)
                if non_loss_data:
                    return found
                # The loss is a share of a sum already; what Megatron divides by is left at nothing.
                assert share is not None
                device = hidden_S1D.device
                return share.to(device), torch.zeros((), dtype=torch.int, device=device), found

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


def _add_up_gradients(chunks: Sequence[Any], *_: Any, **kwargs: Any) -> None:
    """Losses are shares of the global batch's already, so their gradients are added up and not divided."""
    finalize_model_grads(list(chunks), None, **{k: v for k, v in kwargs.items() if k == "force_all_reduce"})
