"""Log-probs and entropies where each tensor-parallel rank holds some rows of the head.

A rank computes the sums of its own rows a slice at a time, as one process does of all rows; what meets are five numbers
of every token, never a row of logits.  The gradient of a rank's own rows needs the joint sums only.

Shape letters: M predicted tokens, D model width, R rows of this rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats, Vocabulary, token_stats


def split_token_stats(
    hidden_MD: Tensor, head_RD: Tensor, targets_M: Tensor, *, first_row: int, group: Any, spec: HeadSpec
) -> TokenStats:
    """Return the statistics of all rows, the same on every rank of the group.

    The gradient of `hidden_MD` is the part that goes through this rank's rows; who splits hidden states adds them up.
    """

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

    rows = Vocabulary(first_row, largest, total, gathered)
    return token_stats(hidden_MD, head_RD, targets_M, spec=spec._replace(vocabulary=rows))
