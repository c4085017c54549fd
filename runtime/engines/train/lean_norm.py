"""Root-mean-square norm with a backward pass written out, to touch memory less often.

Composed of elementary operations, a norm and its derivative read and write their input some twenty times and leave as
many temporary tensors to the allocator; at widths where matrix products are quick that is a tenth of a training step.

Shape letters: R rows (all leading dimensions), D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override


class LeanNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension, computed and returned in the weight's dtype.

    weight: [D], taken over as it is; its name within the module is `weight`, as in Hugging Face models.
    read_weight: makes of it what is computed with, where ranks have it in another form.
    """

    def __init__(self, weight: nn.Parameter, *, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.read_weight: Callable[[Tensor], Tensor] | None = None
        self._eps = eps

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return [..., D] for x: [..., D] of any floating dtype."""
        weight_D = self.weight if self.read_weight is None else self.read_weight(self.weight)
        # The weight in half precision, as some ranks gather it, is no reason to compute in it.
        wide_D = weight_D.to(torch.promote_types(weight_D.dtype, torch.float32))
        normed: Tensor = _Norm.apply(x, wide_D, self._eps)
        return normed.to(weight_D.dtype)


class _Norm(torch.autograd.Function):
    @staticmethod
    @override
    def forward(*args: Any, **_kwargs: Any) -> Tensor:
        ctx, x, weight_D, eps = args
        wide = x.to(weight_D.dtype)
        width = x.shape[-1]
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(width).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight_D, scale)
        return (wide * scale).mul_(weight_D)

    @staticmethod
    @override
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        return _backward(ctx, *grad_outputs)


@once_differentiable
def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    """With n = x * scale, g = grad * weight: dx = scale * (g - n * mean(g * n)), dweight = sum of grad * n over rows.

    The mean is a matrix-vector product, since g * n = (grad * n) * weight.
    """
    x, weight_D, scale = ctx.saved_tensors
    width = weight_D.shape[0]
    normed = x.to(weight_D.dtype) * scale
    product_RD = (grad * normed).reshape(-1, width)
    mean = torch.mv(product_RD, weight_D).div_(width).view(scale.shape)
    grad_x = (grad * weight_D).addcmul_(normed, mean, value=-1.0).mul_(scale)
    return grad_x.to(x.dtype), product_RD.sum(dim=0), None
