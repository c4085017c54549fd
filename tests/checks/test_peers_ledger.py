"""What `./do peers` calls agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from checks.peers.ledger import Ledger, gradient_of

pytestmark = pytest.mark.torch


def agrees(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    ledger = Ledger()
    ledger.compare("x", torch.tensor(ours), torch.tensor(theirs))
    return ledger.entries["x"].agrees


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1e-7, 0.0], [0.0, 0.0], True),
        ([1e-5, 0.0], [0.0, 0.0], False),
        ([1e6], [1e6 + 0.5], True),  # figures above 1 are compared by their ratio
        ([math.inf], [math.inf], True),
        ([math.inf], [1.0], False),
        ([math.nan], [1.0], False),
        ([1.0], [math.nan], False),
        ([1.0], [1.0, 1.0], False),
        ([], [], True),
    ],
)
def test_figures_agree(ours: list[float], theirs: list[float], expected: bool) -> None:
    assert agrees(ours, theirs) == expected


def test_the_largest_gap_of_all_draws_counts() -> None:
    ledger = Ledger()
    for gap in (0.0, 0.5, 1e-9):
        ledger.enter("verdicts", gap)
    assert ledger.entries["verdicts"] == (3, 0.5, 1e-6)
    assert [line.split()[:2] for line in ledger.table()] == [["FAR", "verdicts"]]


def test_a_loss_that_does_not_depend_on_its_input_has_a_gradient_of_zero() -> None:
    at: Tensor = torch.ones(2, requires_grad=True)
    assert gradient_of((at * 3.0).sum(), at).tolist() == [3.0, 3.0]
    assert gradient_of(torch.ones((), requires_grad=True) * 2.0, at).tolist() == [0.0, 0.0]
