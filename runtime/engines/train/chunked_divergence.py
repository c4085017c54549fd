"""KL divergences between two models' distributions, straight from hidden states, a slice of the vocabulary at a time.

As in chunked_logprobs.py the output heads and all that follows are one differentiable operation that holds a few
[M, chunk] tables at most and computes each slice again for the backward pass.  Only the student has a gradient.

Over the whole vocabulary, with p of the teacher and q of the student: d KL(p || q) / d logits of q = q - p, and
d KL(q || p) / d logits of q = q (log q - log p - KL(q || p)).  Over the teacher's most likely tokens the sums are
short, and plain differentiation does.

Shape letters: M predicted tokens, D width of the student, E of the teacher, V vocabulary, C columns of one slice, K the
teacher's most likely tokens.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from runtime.engines.train.chunked_logprobs import HeadSpec, columns_in, logits_of, over_all_ranks

# What the teacher's log-prob of a token is taken for that is not among its most likely ones.
LOG_ZERO = -100.0


class Divergences(NamedTuple):
    """forward_M: [M] KL(teacher || student); reverse_M: [M] KL(student || teacher); both in nats, differentiable."""

    forward_M: Tensor
    reverse_M: Tensor


class Side(NamedTuple):
    """What one model's distributions come from: its last hidden states, [M, width], and its head, [V, width]."""

    hidden_MD: Tensor
    head_VD: Tensor


def full_divergences(student: Side, teacher: Side, *, spec: HeadSpec) -> Divergences:
    """Return both divergences over the whole vocabulary."""
    found = _FullDivergence.apply(student.hidden_MD, student.head_VD, teacher.hidden_MD, teacher.head_VD, spec)
    return Divergences(*found)


def topk_divergences(
    student: Side, teacher: Side, *, topk: int, outside: Literal["left_out", "zero"], spec: HeadSpec
) -> Divergences:
    """Return both divergences over the teacher's most likely tokens, whose probabilities are scaled to add up to 1.

    With "left_out" the student's are scaled as well.  With "zero" the student keeps its whole distribution, and all
    that it gives to other tokens counts in KL(student || teacher) against a log-prob of -100.
    """
    with torch.no_grad():
        ids_MK, logits_MK = _most_likely(teacher, topk, spec)
        logp_MK = logits_MK.log_softmax(dim=1)
    found_MK, lse_M, mean_logit_M = _GatheredHead.apply(student.hidden_MD, student.head_VD, ids_MK, spec)
    logq_MK = found_MK.log_softmax(dim=1) if outside == "left_out" else found_MK - lse_M[:, None]
    q_MK = logq_MK.exp()
    forward_M = (logp_MK.exp() * (logp_MK - logq_MK)).sum(dim=1)
    reverse_M = (q_MK * (logq_MK - logp_MK)).sum(dim=1)
    if outside == "zero":
        inside_M = (q_MK * logq_MK).sum(dim=1)
        rest_M = 1.0 - q_MK.sum(dim=1)
        reverse_M = reverse_M + (mean_logit_M - lse_M - inside_M) - LOG_ZERO * rest_M
    return Divergences(forward_M, reverse_M)


class _Sums(NamedTuple):
    """Of each row: log-sum-exp of its logits, and the mean under its softmax of one or the other difference."""

    lse_M: Tensor
    mean_M: Tensor


class _Running:
    """Log-sum-exp and a mean under the softmax, rescaled whenever a larger logit appears."""

    def __init__(self, like_M: Tensor) -> None:
        self._largest_M = torch.full_like(like_M, -torch.inf)
        self._mass_M, self._weighted_M = torch.zeros_like(like_M), torch.zeros_like(like_M)

    def add(self, logits_MC: Tensor, values_MC: Tensor) -> None:
        new_M = torch.maximum(self._largest_M, logits_MC.amax(dim=1))
        shrink_M = (self._largest_M - new_M).exp_()
        exp_MC = (logits_MC - new_M[:, None]).exp_()
        self._mass_M = self._mass_M * shrink_M + exp_MC.sum(dim=1)
        self._weighted_M = self._weighted_M * shrink_M + exp_MC.mul_(values_MC).sum(dim=1)
        self._largest_M = new_M

    def sums(self, spec: HeadSpec) -> _Sums:
        lse_M = self._largest_M + self._mass_M.log()
        return _Sums(*over_all_ranks(lse_M, self._weighted_M / self._mass_M, spec))


class _FullDivergence(torch.autograd.Function):
    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        ctx, hidden_MD, head_VD, teacher_ME, teacher_VE, spec = args
        with torch.autocast(hidden_MD.device.type, enabled=False):
            low_MD, low_ME = hidden_MD.to(spec.matmul_dtype), teacher_ME.to(spec.matmul_dtype)
            like_M = torch.zeros(len(hidden_MD), dtype=_dtype(head_VD), device=hidden_MD.device)
            of_student, of_teacher = _Running(like_M), _Running(like_M)
            for start in range(0, head_VD.shape[0], spec.chunk):
                z_MC, t_MC = (
                    _slice(h, w, start, spec).to(like_M.dtype) for h, w in ((low_MD, head_VD), (low_ME, teacher_VE))
                )
                of_student.add(z_MC, z_MC - t_MC)
                of_teacher.add(t_MC, t_MC - z_MC)
            student, teacher = of_student.sums(spec), of_teacher.sums(spec)
        forward_M = teacher.mean_M - teacher.lse_M + student.lse_M
        reverse_M = student.mean_M - student.lse_M + teacher.lse_M
        ctx.save_for_backward(hidden_MD, head_VD, teacher_ME, teacher_VE, student.lse_M, teacher.lse_M, reverse_M)
        ctx.spec = spec
        ctx.set_materialize_grads(False)
        return forward_M, reverse_M

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _backward_full(ctx, *grad_outputs)


@once_differentiable
def _backward_full(ctx: Any, grad_forward_M: Tensor | None, grad_reverse_M: Tensor | None) -> tuple[Tensor | None, ...]:
    hidden_MD, head_VD, teacher_ME, teacher_VE, lse_M, teacher_lse_M, reverse_M = ctx.saved_tensors
    if grad_forward_M is None and grad_reverse_M is None:
        return None, None, None, None, None
    spec: HeadSpec = ctx.spec
    low_ME = teacher_ME.to(spec.matmul_dtype)

    def grad_logits(z_MC: Tensor, start: int) -> Tensor:
        logq_MC = z_MC - lse_M[:, None]
        logp_MC = _slice(low_ME, teacher_VE, start, spec).to(z_MC.dtype) - teacher_lse_M[:, None]
        q_MC, grad_MC = logq_MC.exp(), torch.zeros_like(z_MC)
        if grad_forward_M is not None:
            grad_MC += grad_forward_M[:, None] * (q_MC - logp_MC.exp())
        if grad_reverse_M is not None:
            grad_MC += (grad_reverse_M[:, None] * q_MC) * (logq_MC - logp_MC - reverse_M[:, None])
        return grad_MC

    return (*_through_the_head(hidden_MD, head_VD, spec, grad_logits), None, None, None)


class _GatheredHead(torch.autograd.Function):
    """Logits at some ids of each row, the log-sum-exp of all of them, and their mean under the softmax."""

    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
        ctx, hidden_MD, head_VD, ids_MK, spec = args
        with torch.autocast(hidden_MD.device.type, enabled=False):
            low_MD = hidden_MD.to(spec.matmul_dtype)
            running = _Running(torch.zeros(len(hidden_MD), dtype=_dtype(head_VD), device=hidden_MD.device))
            found_MK = torch.zeros(ids_MK.shape, dtype=_dtype(head_VD), device=hidden_MD.device)
            for start in range(0, head_VD.shape[0], spec.chunk):
                z_MC = _slice(low_MD, head_VD, start, spec).to(found_MK.dtype)
                columns_MK, is_here_MK = columns_in(ids_MK, spec.first + start, z_MC.shape[1])
                found_MK += z_MC.gather(1, columns_MK) * is_here_MK
                running.add(z_MC, z_MC)
            lse_M, mean_M = running.sums(spec)
            if spec.vocabulary is not None:
                found_MK = spec.vocabulary.total(found_MK)
        ctx.save_for_backward(hidden_MD, head_VD, ids_MK, lse_M, mean_M)
        ctx.spec = spec
        return found_MK, lse_M, mean_M

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _backward_gathered(ctx, *grad_outputs)


@once_differentiable
def _backward_gathered(ctx: Any, grad_MK: Tensor, grad_lse_M: Tensor, grad_mean_M: Tensor) -> tuple[Tensor | None, ...]:
    hidden_MD, head_VD, ids_MK, lse_M, mean_M = ctx.saved_tensors

    def grad_logits(z_MC: Tensor, start: int) -> Tensor:
        probs_MC = (z_MC - lse_M[:, None]).exp_()
        slope_MC = (z_MC - mean_M[:, None] + 1.0).mul_(grad_mean_M[:, None]).add_(grad_lse_M[:, None])
        grad_MC = probs_MC.mul_(slope_MC)
        columns_MK, is_here_MK = columns_in(ids_MK, ctx.spec.first + start, z_MC.shape[1])
        return grad_MC.scatter_add_(1, columns_MK, (grad_MK * is_here_MK).to(grad_MC.dtype))

    return (*_through_the_head(hidden_MD, head_VD, ctx.spec, grad_logits), None, None)


def _through_the_head(hidden_MD: Tensor, head_VD: Tensor, spec: HeadSpec, grad_logits: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of hidden states and head, given that of each slice's logits."""
    dtype, low_MD = _dtype(head_VD), hidden_MD.to(spec.matmul_dtype)
    grad_hidden_MD, grad_head_VD = torch.zeros_like(low_MD, dtype=dtype), torch.empty_like(head_VD)
    for start in range(0, head_VD.shape[0], spec.chunk):
        head_CD = head_VD[start : start + spec.chunk].to(spec.matmul_dtype)
        z_MC = logits_of(low_MD, head_CD, spec).to(dtype)
        grad_MC = grad_logits(z_MC, start).div_(spec.temperature).to(spec.matmul_dtype)
        grad_hidden_MD += grad_MC @ head_CD
        grad_head_VD[start : start + spec.chunk] = grad_MC.t() @ low_MD
    return grad_hidden_MD.to(hidden_MD.dtype), grad_head_VD


def _most_likely(side: Side, count: int, spec: HeadSpec) -> tuple[Tensor, Tensor]:
    """Return [M, K] the ids of each row's largest logits, and those logits, the largest first."""
    dtype, low_MD = _dtype(side.head_VD), side.hidden_MD.to(spec.matmul_dtype)
    best_MK = torch.empty((len(low_MD), 0), dtype=dtype, device=low_MD.device)
    ids_MK = torch.empty((len(low_MD), 0), dtype=torch.int64, device=low_MD.device)
    with torch.autocast(low_MD.device.type, enabled=False):
        for start in range(0, side.head_VD.shape[0], spec.chunk):
            z_MC = _slice(low_MD, side.head_VD, start, spec).to(dtype)
            first = spec.first + start
            here = torch.arange(first, first + z_MC.shape[1], device=z_MC.device).expand_as(z_MC)
            all_MC, all_ids_MC = torch.cat((best_MK, z_MC), dim=1), torch.cat((ids_MK, here), dim=1)
            best_MK, at_MK = all_MC.topk(min(count, all_MC.shape[1]), dim=1)
            ids_MK = all_ids_MC.gather(1, at_MK)
    if spec.vocabulary is not None:
        best_MK, at_MK = (every := spec.vocabulary.gathered(best_MK)).topk(min(count, every.shape[1]), dim=1)
        ids_MK = spec.vocabulary.gathered(ids_MK).gather(1, at_MK)
    return ids_MK, best_MK


def _slice(hidden_MD: Tensor, head_VD: Tensor, start: int, spec: HeadSpec) -> Tensor:
    return logits_of(hidden_MD, head_VD[start : start + spec.chunk].to(spec.matmul_dtype), spec)


def _dtype(head_VD: Tensor) -> torch.dtype:
    return torch.float64 if head_VD.dtype == torch.float64 else torch.float32
