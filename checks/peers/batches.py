"""Random batches: rows of tokens with masks, as peers hold them, and the same as one line of tokens, as we do.

Shape letters: B rows, L tokens of a row, T = B L tokens end to end.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stdlib.algorithms._terms import Experience, PolicyTerms, Totals


class Batch(NamedTuple):
    """All [B, L] float64 but for rewards_B and group_B; a masked token holds what may not matter.

    Responses have different lengths, and tokens between two turns are masked as well.
    """

    mask_BL: Tensor
    logprobs_BL: Tensor
    old_BL: Tensor
    rollout_BL: Tensor
    ref_BL: Tensor
    advantages_BL: Tensor
    values_BL: Tensor
    rewards_B: Tensor
    group_B: Tensor


def draw(seed: int, *, groups: int = 3, samples: int = 4, tokens: int = 7, spread: float = 0.4) -> Batch:
    """Return a batch of whole groups; every row has an unmasked token.

    Args:
        spread: deviation of the differences between the log-probs of policies.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = groups * samples
    lengths_B = torch.randint(1, tokens + 1, (rows,), generator=generator)
    mask_BL = (torch.arange(tokens) < lengths_B[:, None]).double()
    mask_BL[:, 1:-1] *= (torch.rand(rows, tokens - 2, generator=generator) > 0.2).double()
    mask_BL[:, 0] = 1.0
    old_BL = -normal(rows, tokens).abs() - 0.1
    return Batch(
        mask_BL=mask_BL,
        logprobs_BL=old_BL + spread * normal(rows, tokens),
        old_BL=old_BL,
        rollout_BL=old_BL + spread * normal(rows, tokens),
        ref_BL=old_BL + spread * normal(rows, tokens),
        advantages_BL=normal(rows, 1).expand(rows, tokens) * mask_BL,
        values_BL=normal(rows, tokens),
        rewards_B=torch.randint(0, 4, (rows,), generator=generator).double() - 1.0,
        group_B=torch.arange(groups).repeat_interleave(samples),
    )


def rows_of(batch: Batch) -> Tensor:
    """Return [T] the row of each token."""
    rows, tokens = batch.mask_BL.shape
    return torch.arange(rows).repeat_interleave(tokens)


def terms_of(batch: Batch, logprobs_BL: Tensor) -> PolicyTerms:
    """Return the batch as one micro-batch of ours."""
    return PolicyTerms(
        logprobs_T=logprobs_BL.reshape(-1),
        old_logprobs_T=batch.old_BL.reshape(-1),
        rollout_logprobs_T=batch.rollout_BL.reshape(-1),
        advantages_T=batch.advantages_BL.reshape(-1),
        mask_T=batch.mask_BL.reshape(-1),
        sequence_T=rows_of(batch),
        ref_logprobs_T=batch.ref_BL.reshape(-1),
    )


def totals_of(batch: Batch) -> Totals:
    """Return the totals of a global batch that is this one."""
    counts_B = batch.mask_BL.sum(1)
    return Totals(int(counts_B.sum()), len(counts_B), int((counts_B > 0).sum()))


def experience_of(batch: Batch) -> Experience:
    """Return the batch as a judged rollout of ours."""
    return Experience(
        rewards_N=batch.rewards_B,
        group_N=batch.group_B,
        mask_T=batch.mask_BL.reshape(-1),
        sequence_T=rows_of(batch),
        reward_terms={},
        term_weights={},
        old_logprobs_T=batch.old_BL.reshape(-1),
        ref_logprobs_T=batch.ref_BL.reshape(-1),
        values_T=batch.values_BL.reshape(-1),
    )


def rewards_at_the_end(batch: Batch) -> Tensor:
    """Return [B, L] each row's reward at its last unmasked token, 0 elsewhere."""
    positions_BL = batch.mask_BL * torch.arange(1, batch.mask_BL.shape[1] + 1)
    found_BL = torch.zeros_like(batch.mask_BL)
    found_BL[torch.arange(len(found_BL)), positions_BL.argmax(1)] = batch.rewards_B
    return found_BL
