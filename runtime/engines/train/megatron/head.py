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

from runtime.engines.train.chunked_logprobs import HeadSpec, Sums, TokenStats, token_stats


def split_token_stats(
    hidden_MD: Tensor, head_RD: Tensor, targets_M: Tensor, *, first_row: int, group: Any, spec: HeadSpec
) -> TokenStats:
    """Return the statistics of all rows, the same on every rank of the group.

    The gradient of `hidden_MD` is the part that goes through this rank's rows; who splits hidden states adds them up.
    """

    def joined(own: Sums) -> Sums:
        return _joined(own, group)

    return token_stats(hidden_MD, head_RD, targets_M - first_row, spec=spec, joined=joined)


def _joined(own: Sums, group: Any) -> Sums:
    largest_M = own.lse_M.clone()
    dist.all_reduce(largest_M, op=dist.ReduceOp.MAX, group=group)
    share_M = (own.lse_M - largest_M).exp()
    # A rank all of whose rows fill the table up has no mass, and no mean either.
    mean_M = torch.where(share_M > 0, own.mean_logit_M, 0.0)
    sums_3M = torch.stack([share_M, share_M * mean_M, own.target_M])
    dist.all_reduce(sums_3M, group=group)
    mass_M, weighted_M, target_M = sums_3M
    return Sums(largest_M + mass_M.log(), target_M, weighted_M / mass_M)
