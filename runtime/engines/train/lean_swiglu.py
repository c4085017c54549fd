"""The gated feed-forward layer with its product written out, to keep and to touch less memory.

Composed of elementary operations, silu(gate) * up keeps both factors and the gate for the backward pass and makes four
temporary tensors there; here it keeps gate and up, and computes silu(gate) again.
Paper: GLU Variants Improve Transformer, arXiv:2002.05202, equation 6 (SwiGLU).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override


class LeanSwiGlu(nn.Module):
    """down(silu(gate(x)) * up(x)); the three projections are taken over under the names of Hugging Face models."""

    def __init__(self, gate_proj: nn.Module, up_proj: nn.Module, down_proj: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = gate_proj, up_proj, down_proj

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return [..., D] for x: [..., D]."""
        out: Tensor = self.down_proj(silu_times(self.gate_proj(x), self.up_proj(x)))
        return out


def silu_times(gate: Tensor, up: Tensor) -> Tensor:
    """Return silu(gate) * up for two tensors of one shape and dtype."""
    product: Tensor = _SiluTimes.apply(gate, up)
    return product


class _SiluTimes(torch.autograd.Function):
    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        ctx, gate, up = args
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _backward(ctx, *grad_outputs)


@once_differentiable
def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """With s the logistic function: dup = grad * g * s(g), dgate = grad * up * s(g) * (1 + g * (1 - s(g)))."""
    gate, up = ctx.saved_tensors
    grad_up = F.silu(gate).mul_(grad)
    grad_gate = grad * up
    torch.ops.aten.silu_backward.grad_input(grad_gate, gate, grad_input=grad_gate)
    return grad_gate, grad_up
