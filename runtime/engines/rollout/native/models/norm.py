"""The root-mean-square norm of the native engine."""

from __future__ import annotations

import torch
from torch import Tensor


class Norm:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension."""

    __slots__ = ("_eps", "weight")

    def __init__(self, *shape: int, eps: float) -> None:
        self.weight = torch.zeros(shape)
        self._eps = torch.tensor(eps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return a new tensor of the shape of x."""
        # A third of the time of F.rms_norm, which torch composes of more operations on CPU.
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(self._eps, length, length, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(self.weight)
