"""Divergences a slice at a time against full softmaxes differentiated by autograd, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from runtime.engines.train.chunked_divergence import Divergences, Side, full_divergences, topk_divergences
from runtime.engines.train.chunked_logprobs import HeadSpec

pytestmark = pytest.mark.torch

M, D, E, V = 6, 5, 4, 13


def sides() -> tuple[Side, Side]:
    draws = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64)

    student = Side(drawn(M, D).requires_grad_(), drawn(V, D).requires_grad_())
    return student, Side(drawn(M, E), drawn(V, E))


def spec(chunk: int, temperature: float = 1.0) -> HeadSpec:
    return HeadSpec(chunk=chunk, temperature=temperature, matmul_dtype=torch.float64)


def naive(
    student: Side, teacher: Side, temperature: float, *, topk: int | None = None, outside: str = "left_out"
) -> Divergences:
    """The same by tables of all logits."""
    z_MV = student.hidden_MD @ student.head_VD.t() / temperature
    t_MV = teacher.hidden_MD @ teacher.head_VD.t() / temperature
    logq_MV, logp_MV = z_MV.log_softmax(1), t_MV.log_softmax(1)
    if topk is not None:
        best = t_MV >= t_MV.sort(dim=1, descending=True).values[:, topk - 1 : topk]
        logp_MV = t_MV.masked_fill(~best, -math.inf).log_softmax(1)
        if outside == "left_out":
            logq_MV = z_MV.masked_fill(~best, -math.inf).log_softmax(1)
            logq_MV, logp_MV = (x[best].view(M, topk) for x in (logq_MV, logp_MV))
        else:
            logp_MV = logp_MV.masked_fill(~best, -100.0)
    forward_M = (logp_MV.exp() * (logp_MV - logq_MV)).sum(1)
    return Divergences(forward_M, (logq_MV.exp() * (logq_MV - logp_MV)).sum(1))


def gradients(found: Divergences, student: Side) -> tuple[Tensor, ...]:
    weights_M = torch.linspace(0.5, 2.0, M, dtype=torch.float64)
    total = (weights_M * found.forward_M).sum() + 3.0 * (weights_M.flip(0) * found.reverse_M).sum()
    return torch.autograd.grad(total, (student.hidden_MD, student.head_VD))


@pytest.mark.parametrize("chunk", [1, 4, 13, 50])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_whole_vocabulary_is_that_of_full_softmaxes(chunk: int, temperature: float) -> None:
    student, teacher = sides()
    found = full_divergences(student, teacher, spec=spec(chunk, temperature))
    expected = naive(student, teacher, temperature)
    for one, other in zip(
        (*found, *gradients(found, student)), (*expected, *gradients(expected, student)), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 4, 13])
@pytest.mark.parametrize("outside", ["left_out", "zero"])
@pytest.mark.parametrize("topk", [1, 3, 12])
def test_the_most_likely_tokens_are_those_of_full_softmaxes(chunk: int, outside: str, topk: int) -> None:
    student, teacher = sides()
    how = "zero" if outside == "zero" else "left_out"
    found = topk_divergences(student, teacher, topk=topk, outside=how, spec=spec(chunk, 0.8))
    expected = naive(student, teacher, 0.8, topk=topk, outside=outside)
    # Of the naive sums those that weigh a log-prob of -100 of the teacher, exp(-100), are zero.
    for one, other in zip(
        (*found, *gradients(found, student)), (*expected, *gradients(expected, student)), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("outside", ["left_out", "zero"])
def test_as_many_most_likely_tokens_as_there_are_is_the_whole_vocabulary(outside: str) -> None:
    student, teacher = sides()
    how = "zero" if outside == "zero" else "left_out"
    found = topk_divergences(student, teacher, topk=V + 5, outside=how, spec=spec(5))
    whole = full_divergences(student, teacher, spec=spec(5))
    assert torch.allclose(torch.stack(found), torch.stack(whole), atol=1e-10)


def test_two_tokens_by_hand() -> None:
    # p = (3/4, 1/4), q = (1/2, 1/2).
    student = Side(torch.ones(1, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64))
    teacher = Side(torch.ones(1, 1, dtype=torch.float64), torch.tensor([[math.log(3.0)], [0.0]], dtype=torch.float64))
    found = full_divergences(student, teacher, spec=spec(1))
    assert float(found.forward_M) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(found.reverse_M) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2.0))


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    student, _ = sides()
    teacher = Side(student.hidden_MD.detach(), student.head_VD.detach())
    found = full_divergences(student, teacher, spec=spec(4))
    assert torch.allclose(torch.stack(found), torch.zeros(2, M, dtype=torch.float64), atol=1e-12)
    assert all(torch.allclose(g, torch.zeros_like(g), atol=1e-12) for g in gradients(found, student))
