"""Our settings, whole records from what differs from the schema's defaults."""

from __future__ import annotations

from typing import Any, Never

from compiler.ir.loss import KL, ClippedLoss, Mismatch, PenalizedLoss, PenaltyKL, PolicyLoss, RatioLoss, Rejection
from stdlib.algorithms.sapo import SoftLoss


def clipped_loss(**changes: Any) -> ClippedLoss[Never]:
    """Return [loss] of a clipped algorithm."""
    return ClippedLoss(**{**_CLIPPED, **changes})


def penalized_loss() -> PenalizedLoss[Never]:
    """Return [loss] of a clipped algorithm that credits tokens."""
    parts: dict[str, Any] = {**_CLIPPED, "kl": PenaltyKL()}
    return PenalizedLoss(**parts)


def ratio_loss(**changes: Any) -> RatioLoss[Never]:
    """Return [loss] of an algorithm that bounds its ratio."""
    return RatioLoss(**{**_CLIPPED, **changes})


def soft_loss(**changes: Any) -> SoftLoss[Never]:
    """Return [loss] of SAPO."""
    return SoftLoss(**{**_PARTS, **changes})


def policy_loss(**changes: Any) -> PolicyLoss[Never]:
    """Return [loss] of any algorithm that samples."""
    return PolicyLoss(**{**_PARTS, **changes})


_PARTS: dict[str, Any] = {"constant_tokens": 8, "kl": KL(), "mismatch": Mismatch(), "rejection": Rejection()}
_CLIPPED: dict[str, Any] = {"clip_high": 0.2, **_PARTS}
