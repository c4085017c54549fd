"""What an algorithm is given, from lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Never

import torch
from torch import Tensor

from compiler.ir.loss import KL, ClippedLoss, Mismatch, PolicyLoss, Rejection
from stdlib.algorithms._terms import Experience, PolicyTerms, Totals


def leaf(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def logprobs_of_ratios(ratios: Sequence[float], old: float) -> Tensor:
    return leaf([old + math.log(r) for r in ratios])


def totals_of(terms: PolicyTerms, *, num_sequences: int | None = None) -> Totals:
    """Return the totals of a global batch that is this one micro-batch."""
    counted = terms.mask_T > 0
    nonempty = len(terms.sequence_T[counted].unique())
    there = int(terms.sequence_T.max()) + 1
    return Totals(int(counted.sum()), there if num_sequences is None else num_sequences, nonempty)


def make_terms(
    logprobs: Tensor,
    old: Sequence[float],
    advantages: Sequence[float],
    *,
    mask: Sequence[float] | None = None,
    sequence: Sequence[int] | None = None,
    rollout: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    ref: Sequence[float] | None = None,
    entropy: Tensor | None = None,
) -> PolicyTerms:
    dtype, n = logprobs.dtype, len(old)
    return PolicyTerms(
        logprobs_T=logprobs,
        old_logprobs_T=torch.tensor(old, dtype=dtype),
        rollout_logprobs_T=torch.tensor(old if rollout is None else rollout, dtype=dtype),
        advantages_T=torch.tensor(advantages, dtype=dtype),
        mask_T=torch.tensor(mask or [1.0] * n, dtype=dtype),
        sequence_T=torch.tensor(sequence or [0] * n),
        weights_T=None if weights is None else torch.tensor(weights, dtype=dtype),
        ref_logprobs_T=None if ref is None else torch.tensor(ref, dtype=dtype),
        entropy_T=entropy,
    )


def one_token_each(rewards_BG: Tensor) -> Experience:
    """Return a rollout of B prompts and G samples, each a response of one token."""
    num_prompts, num_samples = rewards_BG.shape
    count = num_prompts * num_samples
    return Experience(
        rewards_N=rewards_BG.reshape(-1),
        group_N=torch.arange(num_prompts).repeat_interleave(num_samples),
        mask_T=torch.ones(count, dtype=rewards_BG.dtype),
        sequence_T=torch.arange(count),
        reward_terms={},
        term_weights={},
    )


def responses(rewards: Sequence[float], masks: Sequence[Sequence[float]], *, groups: Sequence[int]) -> Experience:
    """Return a rollout of responses of several tokens, each with its own mask."""
    return Experience(
        rewards_N=torch.tensor(rewards, dtype=torch.float64),
        group_N=torch.tensor(groups),
        mask_T=torch.tensor([m for mask in masks for m in mask], dtype=torch.float64),
        sequence_T=torch.repeat_interleave(torch.tensor([len(mask) for mask in masks])),
        reward_terms={},
        term_weights={},
    )


def clipped_loss(**changes: Any) -> ClippedLoss[Never]:
    return ClippedLoss(**{**_PARTS, "clip_high": changes.get("clip_low", 0.2), **changes})


def policy_loss(**changes: Any) -> PolicyLoss[Never]:
    return PolicyLoss(**{**_PARTS, **changes})


_PARTS: dict[str, Any] = {"constant_tokens": 8, "kl": KL(), "mismatch": Mismatch(), "rejection": Rejection()}
