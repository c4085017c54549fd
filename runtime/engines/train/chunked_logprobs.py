"""Log-probs and entropies of chosen tokens, straight from hidden states, a slice of the vocabulary at a time.

A [M, V] table of logits is often the largest tensor of a training step.  Here the output head, log-sum-exp, gather and
entropy are one differentiable operation that holds [M, chunk] at most and computes each slice again for the backward
pass.

Shape letters: M predicted tokens, D model width, V vocabulary, C columns of one slice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override


class TokenStats(NamedTuple):
    """logprobs_M: [M] natural logs; entropy_M: [M] nats.  Both in the accumulation dtype, both differentiable."""

    logprobs_M: Tensor
    entropy_M: Tensor


class Vocabulary(NamedTuple):
    """The part of the vocabulary that this rank has.

    first: its first token.  largest, total: the elementwise maximum, and sum, of what all ranks have; in place.
    gathered: [M, C] columns of all ranks beside one another.
    """

    first: int
    largest: Callable[[Tensor], Tensor]
    total: Callable[[Tensor], Tensor]
    gathered: Callable[[Tensor], Tensor]


class HeadSpec(NamedTuple):
    """How logits are computed: slice width, divisor of the logits, and the dtype of the matrix products.

    vocabulary: where the head has some of its rows only.  Every rank then has the same statistics, and the gradient of
    the hidden states is that through its own rows.
    """

    chunk: int
    temperature: float
    matmul_dtype: torch.dtype
    vocabulary: Vocabulary | None = None

    @property
    def first(self) -> int:
        """The token of the head's first row."""
        return 0 if self.vocabulary is None else self.vocabulary.first


def token_stats(hidden_MD: Tensor, head_VD: Tensor, targets_M: Tensor, *, spec: HeadSpec) -> TokenStats:
    """Return log-prob of each target and entropy of its distribution, softmax(hidden @ head.T / temperature).

    Sums run in float32, or float64 where the hidden states are float64.
    """
    logprobs_M, entropy_M = _ChunkedHead.apply(hidden_MD, head_VD, targets_M, spec)
    return TokenStats(logprobs_M, entropy_M)


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        ctx, hidden_MD, head_VD, targets_M, spec = args
        with torch.autocast(hidden_MD.device.type, enabled=False):
            stats = _forward(hidden_MD.to(spec.matmul_dtype), head_VD, targets_M, spec)
        ctx.save_for_backward(hidden_MD, head_VD, targets_M, stats.lse_M, stats.mean_logit_M)
        ctx.spec = spec
        ctx.set_materialize_grads(False)
        return stats.target_M - stats.lse_M, stats.lse_M - stats.mean_logit_M

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _backward(ctx, *grad_outputs)


class _Sums(NamedTuple):
    """Of each row: log-sum-exp of the logits, logit of the target, and mean logit under the softmax."""

    lse_M: Tensor
    target_M: Tensor
    mean_logit_M: Tensor


def _forward(hidden_MD: Tensor, head_VD: Tensor, targets_M: Tensor, spec: HeadSpec) -> _Sums:
    """Return the sums by one pass over the slices, rescaling what was summed whenever a larger logit appears."""
    dtype = torch.float64 if head_VD.dtype == torch.float64 else torch.float32
    largest_M = torch.full((hidden_MD.shape[0],), -torch.inf, dtype=dtype, device=hidden_MD.device)
    mass_M, weighted_M, target_M = (torch.zeros_like(largest_M) for _ in range(3))
    for start in range(0, head_VD.shape[0], spec.chunk):
        head_CD = head_VD[start : start + spec.chunk].to(spec.matmul_dtype)
        logits_MC = logits_of(hidden_MD, head_CD, spec).to(dtype)
        columns_M1, is_here_M1 = columns_in(targets_M[:, None], spec.first + start, head_CD.shape[0])
        target_M += (logits_MC.gather(1, columns_M1) * is_here_M1)[:, 0]
        new_M = torch.maximum(largest_M, logits_MC.amax(dim=1))
        shrink_M = (largest_M - new_M).exp_()
        exp_MC = (logits_MC - new_M[:, None]).exp_()
        mass_M = mass_M * shrink_M + exp_MC.sum(dim=1)
        weighted_M = weighted_M * shrink_M + exp_MC.mul_(logits_MC).sum(dim=1)
        largest_M = new_M
    lse_M, mean_M = over_all_ranks(largest_M + mass_M.log(), weighted_M / mass_M, spec)
    return _Sums(lse_M, target_M if spec.vocabulary is None else spec.vocabulary.total(target_M), mean_M)


def over_all_ranks(lse_M: Tensor, mean_M: Tensor, spec: HeadSpec) -> tuple[Tensor, Tensor]:
    """Return log-sum-exp, and a mean under the softmax, over the whole vocabulary, of those over this rank's part."""
    if spec.vocabulary is None:
        return lse_M, mean_M
    largest_M = spec.vocabulary.largest(lse_M.clone())
    mass_M = (lse_M - largest_M).exp_()
    total_M = spec.vocabulary.total(mass_M.clone())
    weighted_M = spec.vocabulary.total(mass_M * mean_M)
    return largest_M + total_M.log(), weighted_M / total_M


@once_differentiable
def _backward(
    ctx: Any, grad_logprobs_M: Tensor | None, grad_entropy_M: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None, None]:
    hidden_MD, head_VD, targets_M, lse_M, mean_logit_M = ctx.saved_tensors
    if grad_logprobs_M is None and grad_entropy_M is None:
        return None, None, None, None
    spec: HeadSpec = ctx.spec
    low_MD = hidden_MD.to(spec.matmul_dtype)
    grad_hidden_MD, grad_head_VD = torch.zeros_like(low_MD, dtype=lse_M.dtype), torch.empty_like(head_VD)
    for start in range(0, head_VD.shape[0], spec.chunk):
        head_CD = head_VD[start : start + spec.chunk].to(spec.matmul_dtype)
        logits_MC = logits_of(low_MD, head_CD, spec).to(lse_M.dtype)
        grad_MC = _grad_logits(logits_MC, (lse_M, mean_logit_M), (grad_logprobs_M, grad_entropy_M))
        if grad_logprobs_M is not None:
            columns_M1, is_here_M1 = columns_in(targets_M[:, None], spec.first + start, head_CD.shape[0])
            grad_MC.scatter_add_(1, columns_M1, (grad_logprobs_M[:, None] * is_here_M1).to(grad_MC.dtype))
        grad_MC = grad_MC.div_(spec.temperature).to(spec.matmul_dtype)
        grad_hidden_MD += grad_MC @ head_CD
        grad_head_VD[start : start + spec.chunk] = grad_MC.t() @ low_MD
    return grad_hidden_MD.to(hidden_MD.dtype), grad_head_VD, None, None


def logits_of(hidden_MD: Tensor, head_CD: Tensor, spec: HeadSpec) -> Tensor:
    """Return [M, C] the logits of one slice, divided by the temperature."""
    logits_MC = hidden_MD @ head_CD.t()
    return logits_MC if spec.temperature == 1.0 else logits_MC / spec.temperature


def columns_in(ids_MK: Tensor, start: int, width: int) -> tuple[Tensor, Tensor]:
    """Return each id's column in the slice from `start` on, [M, K], and whether it is there at all."""
    columns_MK = ids_MK - start
    is_here_MK = (columns_MK >= 0) & (columns_MK < width)
    return columns_MK.clamp(0, width - 1), is_here_MK


def _grad_logits(logits_MC: Tensor, sums: tuple[Tensor, Tensor], grads: tuple[Tensor | None, Tensor | None]) -> Tensor:
    """Return the part of d loss / d logits that goes through the softmax p: -p (g_logp + g_entropy (logit - mean))."""
    (lse_M, mean_logit_M), (grad_logprobs_M, grad_entropy_M) = sums, grads
    probs_MC = (logits_MC - lse_M[:, None]).exp_()
    if grad_entropy_M is None:
        return probs_MC.mul_(-grad_logprobs_M[:, None]) if grad_logprobs_M is not None else probs_MC.zero_()
    slope_MC = (logits_MC - mean_logit_M[:, None]).mul_(grad_entropy_M[:, None])
    if grad_logprobs_M is not None:
        slope_MC += grad_logprobs_M[:, None]
    return probs_MC.mul_(slope_MC).neg_()
