"""The lean norm against Hugging Face's own and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from runtime.engines.train.hf_model import build_model
from runtime.engines.train.lean_norm import LeanNorm
from tests.runtime.engines.tiny_trainer import hf_model, tiny_weights
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_values_and_gradients_equal_those_of_hugging_face(scale: float, is_transposed: bool) -> None:
    theirs = Qwen3RMSNorm(16, eps=1e-6)
    ours = LeanNorm(nn.Parameter(1.0 + drawn(16, seed=1)), eps=1e-6)
    theirs.load_state_dict(ours.state_dict())
    weight = drawn(2, 5, 3, 16, seed=2)
    results: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for norm in (ours, theirs):
        x = (scale * drawn(2, 3, 5, 16)).requires_grad_()
        y = norm(x.transpose(1, 2) if is_transposed else x.reshape(2, 5, 3, 16))
        (y * weight).sum().backward()
        assert x.grad is not None
        results.append((y.detach(), x.grad * scale, norm.weight.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=2e-6)


def test_gradients_pass_gradcheck() -> None:
    weight = nn.Parameter(drawn(6, dtype=torch.float64, seed=1))
    x = drawn(4, 6, dtype=torch.float64).requires_grad_()

    def function(x: Tensor, weight: Tensor) -> Tensor:
        norm = LeanNorm(nn.Parameter(weight.detach()), eps=1e-3)
        del norm.weight
        norm.register_buffer("weight", weight)
        return norm(x)

    assert torch.autograd.gradcheck(function, (x, weight))


def test_bfloat16_input_is_normalised_in_float32() -> None:
    x = drawn(4, 16, dtype=torch.bfloat16).requires_grad_()
    y = LeanNorm(nn.Parameter(torch.ones(16)), eps=1e-6)(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.square().mean(dim=-1), torch.ones(4), atol=1e-5, rtol=0)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_the_model_keeps_its_parameter_names_and_has_no_other_norm() -> None:
    ours, theirs = build_model(tiny_model(), tiny_weights(tiny_model())), hf_model(tiny_model())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert not any(isinstance(module, Qwen3RMSNorm) for module in ours.modules())
    assert sum(isinstance(module, LeanNorm) for module in ours.modules()) == 2 * 4 + 1
