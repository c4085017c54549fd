"""Figures of a cut, against those that NeMo-RL's own metrics give for the same lengths."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from runtime.packing.bins import Bins
from runtime.packing.concatenative import concatenative
from runtime.packing.fill import Fill, fill_of
from runtime.packing.first_fit import first_fit_decreasing
from runtime.packing.modified_first_fit import modified_first_fit_decreasing

SMALL = list(range(10, 100, 10))
MEDIUM = [25, 35, 45, 55, 65, 75, 85, 95, 15, 25, 35, 45, 55, 65, 75, 85, 95]
DRAW = random.Random(42)
LARGE = [DRAW.randint(10, 90) for _ in range(100)]


@pytest.mark.parametrize(
    ("pack", "lengths", "expected"),
    [
        (concatenative, SMALL, Fill(0.75, 0.8333, 0.7506)),
        (first_fit_decreasing, SMALL, Fill(0.9, 1.0, 0.7515)),
        (first_fit_decreasing, MEDIUM, Fill(0.975, 1.0, 0.9502)),
        (modified_first_fit_decreasing, MEDIUM, Fill(0.975, 1.0, 0.9502)),
        (first_fit_decreasing, LARGE, Fill(0.974, 47 / 48, 0.9005)),
        (modified_first_fit_decreasing, LARGE, Fill(0.974, 47 / 48, 0.9186)),
        (concatenative, LARGE, Fill(0.7305, 47 / 64, 0.7555)),
        (concatenative, [50], Fill(0.5, 1.0, 1.0)),
    ],
)
def test_published_figures(pack: Callable[..., Bins], lengths: list[int], expected: Fill) -> None:
    assert fill_of(pack(lengths, max_tokens=100), lengths, max_tokens=100) == pytest.approx(expected, abs=1e-4)


def test_nothing_has_no_figures() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        fill_of([], [], max_tokens=100)
