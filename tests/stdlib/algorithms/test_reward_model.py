"""Reward models: losses and gradients against numbers computed by hand, finite differences and permutations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from compiler.ir.algorithm import Algo
from compiler.ir.loss import ScoreLoss
from stdlib.algorithms import reward_model
from stdlib.algorithms._terms import LossOutput, ScoreTerms, Totals
from tests.stdlib.algorithms.terms import leaf

pytestmark = pytest.mark.torch

# Three pairs, better and worse answers in turn: gaps of 1, -0.5 and 2.
SCORES = [0.5, -0.5, 1.0, 1.5, 2.0, 0.0]
MARGINS = [0.0, 0.0, 0.25, 0.0, 1.0, 0.0]
TARGETS = [1.0, -0.5, 0.0, 1.5, 2.5, 1.0]


def output_of(
    scores: Tensor | None = None, targets: list[float] | None = None, *, count: int = 6, **settings: Any
) -> LossOutput:
    params = reward_model.Params(algo=Algo(name="reward_model"), loss=ScoreLoss(**settings))
    scores = leaf(SCORES) if scores is None else scores
    terms = ScoreTerms(scores_N=scores, targets_N=torch.tensor(targets or [0.0] * len(scores), dtype=scores.dtype))
    return reward_model.loss(params, terms, Totals(count, count, count))


def value(output: LossOutput) -> float:
    return float(output.loss.detach())


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_pairs_are_judged_by_the_difference_of_their_scores() -> None:
    output = output_of()
    assert value(output) == pytest.approx((softplus(-1.0) + softplus(0.5) + softplus(-2.0)) / 3)
    found = {name: float(m.value) / 3 for name, m in output.metrics.items()}
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["reward_margin"] == pytest.approx(2.5 / 3)
    assert found["chosen_reward"] == pytest.approx(3.5 / 3)
    assert found["rejected_reward"] == pytest.approx(1.0 / 3)


def test_equal_scores_have_the_loss_of_a_coin() -> None:
    assert value(output_of(torch.zeros(6, dtype=torch.float64))) == pytest.approx(math.log(2))


def test_margins_are_taken_off_the_difference() -> None:
    expected = (softplus(-1.0) + softplus(0.75) + softplus(-1.0)) / 3
    assert value(output_of(targets=MARGINS)) == pytest.approx(expected)


def test_scores_are_centred_by_the_square_of_their_sum() -> None:
    plain, centred = value(output_of()), value(output_of(center_coef=0.1))
    assert centred - plain == pytest.approx(0.1 * (0.0 + 2.5**2 + 2.0**2) / 3)


def test_a_constant_added_to_all_scores_changes_nothing_that_pairs_say() -> None:
    assert value(output_of(leaf([s + 7.0 for s in SCORES]))) == pytest.approx(value(output_of()))


def test_swapped_pairs_have_the_losses_of_wrong_answers() -> None:
    # -log sigmoid(-x) - -log sigmoid(x) = x
    swapped = [SCORES[i ^ 1] for i in range(6)]
    assert value(output_of(leaf(swapped))) - value(output_of()) == pytest.approx(2.5 / 3)


def test_regression_is_the_mean_squared_error() -> None:
    output = output_of(targets=TARGETS, kind="regression")
    expected = F.mse_loss(torch.tensor(SCORES, dtype=torch.float64), torch.tensor(TARGETS, dtype=torch.float64))
    assert value(output) == pytest.approx(float(expected))
    assert float(output.metrics["abs_error"].value) / 6 == pytest.approx((0.5 + 0.0 + 1.0 + 0.0 + 0.5 + 1.0) / 6)


@pytest.mark.parametrize("settings", [{}, {"center_coef": 0.3}, {"kind": "regression"}])
def test_gradients_match_finite_differences(settings: dict[str, Any]) -> None:
    def function(scores: Tensor) -> Tensor:
        return output_of(scores, MARGINS, **settings).loss

    assert torch.autograd.gradcheck(function, (leaf(SCORES),))


@pytest.mark.parametrize("settings", [{}, {"center_coef": 0.3}, {"kind": "regression"}])
def test_shares_of_micro_batches_add_up_in_any_order(settings: dict[str, Any]) -> None:
    whole = value(output_of(targets=MARGINS, **settings))
    parts = [value(output_of(leaf(SCORES[i : i + 2]), MARGINS[i : i + 2], **settings)) for i in (4, 0, 2)]
    assert sum(parts) == pytest.approx(whole)
    order = [4, 5, 0, 1, 2, 3]
    turned = output_of(leaf([SCORES[i] for i in order]), [MARGINS[i] for i in order], **settings)
    assert value(turned) == pytest.approx(whole)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_differences_of_any_size_have_finite_losses_and_gradients(scale: float) -> None:
    scores = leaf([scale, 0.0, 0.0, scale, 1.0, 0.0])
    output = output_of(scores)
    output.loss.backward()
    assert math.isfinite(value(output))
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
