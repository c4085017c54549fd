"""The learning rate as a closed-form function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math
from typing import Never

from compiler.ir.training import Optim


def learning_rate(optim: Optim[Never], step: int) -> float:
    """Return the rate of optimizer step `step`, counted from 0.

    Warm-up takes steps 0 .. w-1 with the rates (step + 1) / (w + 1) of the peak, so that no step is wasted on a rate of
    zero and step w is the first at the peak.  Then, with progress p = (step - w) / (total_steps - w) clamped to 1:
    constant: lr; linear: lr + p (min_lr - lr); cosine: min_lr + (lr - min_lr) (1 + cos(pi p)) / 2.
    """
    warmup = optim.warmup_steps
    if step < warmup:
        return optim.lr * (step + 1) / (warmup + 1)
    if optim.schedule == "constant":
        return optim.lr
    progress = min(1.0, (step - warmup) / max(1, optim.total_steps - warmup))
    remaining = 1.0 - progress if optim.schedule == "linear" else (1.0 + math.cos(math.pi * progress)) / 2.0
    return optim.min_lr + (optim.lr - optim.min_lr) * remaining
