"""The gated feed-forward layer computes what its elementary operations compute."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from runtime.engines.train.lean_swiglu import LeanSwiGlu, silu_times


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradients_are_those_of_the_elementary_operations(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    gate, up, grad = (torch.randn(7, 5, generator=generator).to(dtype) for _ in range(3))
    gate.requires_grad_()
    up.requires_grad_()
    lean, plain = silu_times(gate, up), F.silu(gate) * up
    torch.testing.assert_close(lean, plain)
    torch.testing.assert_close(
        torch.autograd.grad(lean, (gate, up), grad), torch.autograd.grad(plain, (gate, up), grad)
    )


def test_gradients_are_those_of_finite_differences() -> None:
    gate, up = (torch.linspace(-3, 3, 6, dtype=torch.float64).roll(i).requires_grad_() for i in range(2))
    assert torch.autograd.gradcheck(silu_times, (gate, up))


def test_a_gradient_that_others_hold_is_not_written_to() -> None:
    gate, up = (torch.ones(3, requires_grad=True) for _ in range(2))
    grad = torch.full((3,), 2.0)
    torch.autograd.grad(silu_times(gate, up), (gate, up), grad)
    assert grad.tolist() == [2.0, 2.0, 2.0]


def test_the_layer_keeps_the_names_of_its_projections() -> None:
    layer = LeanSwiGlu(*(nn.Linear(4, 4, bias=False) for _ in range(3)))
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    expected = layer.down_proj(F.silu(layer.gate_proj(x)) * layer.up_proj(x))
    torch.testing.assert_close(layer(x), expected)
    assert [name for name, _ in layer.named_parameters()] == [
        "gate_proj.weight",
        "up_proj.weight",
        "down_proj.weight",
    ]
