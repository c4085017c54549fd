"""What was compared, and how far ours and theirs were apart at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TOLERANCE = 1e-6


class Entry(NamedTuple):
    """One comparison of all draws: how many there were, and the largest gap; relative where a figure is above 1."""

    draws: int
    gap: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether no draw was further apart than allowed."""
        return self.gap <= self.tolerance


class Ledger:
    """Collects comparisons under the names of what was compared."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def compare(self, name: str, ours: Tensor, theirs: Tensor, *, tolerance: float = TOLERANCE) -> None:
        """Enter one draw; figures of different shapes, and a NaN on one side alone, never agree."""
        self.enter(name, _gap(ours.detach().double(), theirs.detach().double()), tolerance=tolerance)

    def enter(self, name: str, gap: float, *, tolerance: float = TOLERANCE) -> None:
        """Enter a gap that was found otherwise, such as the share of verdicts that differ."""
        known = self.entries.get(name, Entry(0, 0.0, tolerance))
        self.entries[name] = Entry(known.draws + 1, max(known.gap, gap), tolerance)

    def table(self) -> Sequence[str]:
        """Return a line for each comparison."""
        return [_line(name, entry) for name, entry in self.entries.items()]


def _line(name: str, entry: Entry) -> str:
    verdict = "ok" if entry.agrees else "FAR"
    return f"{verdict:4} {name:74} {entry.draws:5} draws, {entry.gap:.1e} of {entry.tolerance:.0e}"


def _gap(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    apart = ((ours - theirs).abs() / theirs.abs().clamp(min=1.0)).masked_fill(ours == theirs, 0.0)
    return float("inf") if bool(apart.isnan().any()) else float(apart.max()) if apart.numel() else 0.0


def gradient_of(loss: Tensor, at: Tensor) -> Tensor:
    """Return the gradient of a scalar, which may not depend on `at` at all."""
    (found,) = torch.autograd.grad(loss, at, allow_unused=True)
    return torch.zeros_like(at) if found is None else found
