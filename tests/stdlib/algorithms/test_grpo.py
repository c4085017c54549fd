"""GRPO against closed forms computed by hand, finite differences and invariances."""

from __future__ import annotations

import math
from typing import Literal, Never

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import GroupRelativeAlgo
from compiler.ir.loss import KL, ClippedLoss, Estimator, Mismatch, Rejection
from compiler.ir.openness import OFF, Off
from stdlib.algorithms import grpo
from stdlib.algorithms._terms import Totals
from tests.stdlib.algorithms.terms import leaf, logprobs_of_ratios, make_terms, one_token_each

pytestmark = pytest.mark.torch

Reduction = Literal["token", "sequence"]


def make_params(
    *,
    clip: tuple[float, float] = (0.2, 0.2),
    reduction: Reduction = "token",
    entropy_coef: float = 0.0,
    kl: tuple[Estimator | Off, float] = (OFF, 0.0),
    normalize_std: bool = True,
) -> grpo.Params[Never]:
    return grpo.Params(
        algo=GroupRelativeAlgo(name="grpo", normalize_std=normalize_std),
        loss=ClippedLoss(
            clip_low=clip[0],
            clip_high=clip[1],
            reduction=reduction,
            entropy_coef=entropy_coef,
            kl=KL(estimator=kl[0], coef=kl[1]),
            mismatch=Mismatch(),
            rejection=Rejection(),
            constant_tokens=8,
        ),
    )


def advantages_of(rewards_BG: Tensor, params: grpo.Params[Never]) -> Tensor:
    return grpo.advantages(params, one_token_each(rewards_BG)).advantages_T.reshape(rewards_BG.shape)


def test_advantages_are_differences_from_the_group_mean_over_the_unbiased_deviation() -> None:
    found = advantages_of(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), make_params())
    scale = 0.5 / (math.sqrt(1.0 / 3.0) + 1e-6)  # deviations of 0.5, variance 4 * 0.25 / 3
    torch.testing.assert_close(found, torch.tensor([[scale, -scale, -scale, scale]]))


def test_advantages_without_normalisation_are_plain_differences() -> None:
    found = advantages_of(torch.tensor([[3.0, 1.0], [5.0, 5.5]]), make_params(normalize_std=False))
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0], [-0.25, 0.25]]))


def test_group_of_one_has_zero_advantage() -> None:
    assert advantages_of(torch.tensor([[3.0], [-1.0]]), make_params()).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("value", [0.1, 1.0 / 3.0, 1e6 + 0.1, -7.7])
def test_group_of_equal_rewards_has_exactly_zero_advantage(value: float) -> None:
    assert advantages_of(torch.full((2, 7), value), make_params()).tolist() == [[0.0] * 7] * 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=5, max_size=5), min_size=1, max_size=4))
def test_advantages_sum_to_zero_in_each_group(rewards: list[list[float]]) -> None:
    sums = advantages_of(torch.tensor(rewards, dtype=torch.float64), make_params()).sum(dim=1)
    assert sums.abs().max() < 1e-8


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)))
def test_permuting_a_group_permutes_its_advantages(order: list[int]) -> None:
    rewards = torch.tensor([[0.5, 2.0, -1.0, 4.0]], dtype=torch.float64)
    found = advantages_of(rewards[:, order], make_params())
    torch.testing.assert_close(found, advantages_of(rewards, make_params())[:, order])


def test_clipped_loss_of_three_tokens() -> None:
    # max(-0.5, -0.8) = -0.5;  max(1, 1) = 1;  max(-3, -2.4) = -2.4;  mean -1.9 / 3
    terms = make_terms(logprobs_of_ratios([0.5, 1.0, 1.5], -1.0), [-1.0] * 3, [1.0, -1.0, 2.0])
    output = grpo.loss(make_params(), terms, Totals(3, 1, 1))
    assert float(output.loss.detach()) == pytest.approx(-1.9 / 3.0)
    assert float(output.metrics["clip_frac"].value) == 1.0
    assert float(output.metrics["ratio_mean"].value) == pytest.approx(3.0)
    assert float(output.metrics["pg_loss"].value) == pytest.approx(-1.9)


def test_upper_and_lower_clip_are_independent() -> None:
    # A = 1, r = 1.5 clipped at 1.28 ; A = -1, r = 0.5 clipped at 0.9
    terms = make_terms(logprobs_of_ratios([1.5, 0.5], -2.0), [-2.0] * 2, [1.0, -1.0])
    output = grpo.loss(make_params(clip=(0.1, 0.28)), terms, Totals(2, 1, 1))
    assert float(output.loss.detach()) == pytest.approx((-1.28 + 0.9) / 2)
    assert float(output.metrics["clip_frac"].value) == 2.0


def test_gradient_stops_where_the_clipped_branch_wins() -> None:
    logprobs = logprobs_of_ratios([1.5, 1.1, 1.5, 0.5], -1.0)
    terms = make_terms(logprobs, [-1.0] * 4, [1.0, 1.0, -1.0, -1.0])
    grpo.loss(make_params(), terms, Totals(4, 1, 1)).loss.backward()
    # d loss / d logp = -A r / 4 where unclipped
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.0, -1.1 / 4, 1.5 / 4, 0.0], dtype=torch.float64))


def test_token_and_sequence_reductions_weigh_lengths_differently() -> None:
    # losses are -A at ratio 1: sequence 0 has one token of 6, sequence 1 three of 1, 2, 3
    terms = make_terms(leaf([-1.0] * 4), [-1.0] * 4, [-6.0, -1.0, -2.0, -3.0], sequence=[0, 1, 1, 1])
    by_token = grpo.loss(make_params(), terms, Totals(4, 2, 2)).loss
    by_sequence = grpo.loss(make_params(reduction="sequence"), terms, Totals(4, 2, 2)).loss
    assert float(by_token.detach()) == pytest.approx(12.0 / 4)
    assert float(by_sequence.detach()) == pytest.approx((6.0 + 2.0) / 2)


def test_a_fully_masked_sequence_counts_as_zero_in_the_mean_over_sequences() -> None:
    terms = make_terms(leaf([-1.0] * 2), [-1.0] * 2, [-6.0, -1.0], mask=[1.0, 0.0], sequence=[0, 1])
    assert float(grpo.loss(make_params(reduction="sequence"), terms, Totals(1, 2, 1)).loss.detach()) == pytest.approx(
        3.0
    )


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("k1", [-1.0, 14.0, 29.0]),
        ("k2", [0.5, 98.0, 420.5]),
        ("k3", [math.e - 2.0, math.exp(-14.0) + 13.0, math.exp(-29.0) + 28.0]),
    ],
)
def test_kl_estimators(estimator: Estimator, expected: list[float]) -> None:
    for i, (ref, value) in enumerate(zip([0.0, -15.0, -30.0], expected, strict=True)):
        terms = make_terms(leaf([-1.0]), [-1.0], [0.0], ref=[ref])
        output = grpo.loss(make_params(kl=(estimator, 0.5)), terms, Totals(1, 1, 1))
        assert float(output.metrics["kl"].value) == pytest.approx(value), i
        assert float(output.loss.detach()) == pytest.approx(0.5 * value), i


def test_k3_gradient_is_one_minus_the_inverse_ratio() -> None:
    logprobs = leaf([-3.0, -1.0])
    terms = make_terms(logprobs, [-3.0, -1.0], [0.0, 0.0], ref=[-2.0, -1.0])
    grpo.loss(make_params(kl=("k3", 1.0)), terms, Totals(2, 1, 1)).loss.backward()
    # d/dx (e^(r - x) - 1 + x - r) = 1 - e^(r - x)
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([(1 - math.e) / 2, 0.0], dtype=torch.float64))


def test_kl_and_entropy_with_coefficient_zero_are_metrics_without_gradient() -> None:
    logprobs, entropy = leaf([-1.0, -2.0]), leaf([0.7, 0.3])
    terms = make_terms(logprobs, [-1.0, -2.0], [0.0, 0.0], ref=[-1.5, -1.5], entropy=entropy)
    output = grpo.loss(make_params(kl=("k2", 0.0)), terms, Totals(2, 1, 1))
    output.loss.backward()
    assert entropy.grad is None
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [0.0, 0.0]
    assert float(output.metrics["kl"].value) == pytest.approx(0.25)
    assert float(output.metrics["entropy"].value) == pytest.approx(1.0)


def test_entropy_bonus_lowers_the_loss() -> None:
    entropy = leaf([0.7, 0.3])
    terms = make_terms(leaf([-1.0, -2.0]), [-1.0, -2.0], [0.0, 0.0], entropy=entropy)
    output = grpo.loss(make_params(entropy_coef=0.1), terms, Totals(2, 1, 1))
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(-0.1 * 0.5)
    assert entropy.grad is not None
    assert entropy.grad.tolist() == pytest.approx([-0.05, -0.05])


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_gradient_matches_finite_differences(reduction: Reduction) -> None:
    params = make_params(clip=(0.3, 0.4), reduction=reduction, entropy_coef=0.2, kl=("k3", 0.3))
    old, advantages = [-1.0, -2.0, -0.5, -1.2, -3.0], [1.0, -0.5, 2.0, -1.5, 0.3]

    def function(logprobs: Tensor, entropy: Tensor) -> Tensor:
        terms = make_terms(
            logprobs,
            old,
            advantages,
            mask=[1.0, 1.0, 0.0, 1.0, 1.0],
            sequence=[0, 0, 0, 1, 1],
            ref=[-1.1, -1.9, -1.0, -1.0, -2.5],
            entropy=entropy,
        )
        return grpo.loss(params, terms, Totals(4, 2, 2)).loss

    inputs = (leaf([-0.9, -2.6, -0.4, -1.1, -3.3]), leaf([0.5, 0.6, 0.7, 0.8, 0.9]))
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("junk", [5.0, math.inf, math.nan])
def test_masked_tokens_have_no_effect_on_loss_gradient_or_metrics(junk: float) -> None:
    found = []
    for value in (-1.0, junk):
        logprobs, entropy = leaf([-0.9, value, -2.0]), leaf([0.5, value, 0.6])
        terms = make_terms(
            logprobs, [-1.0, value, -2.1], [1.0, value, -1.0], mask=[1, 0, 1], ref=[-1.0, value, -2.0], entropy=entropy
        )
        output = grpo.loss(make_params(entropy_coef=0.1, kl=("k3", 0.1)), terms, Totals(2, 1, 1))
        output.loss.backward()
        assert logprobs.grad is not None
        assert entropy.grad is not None
        metrics = {name: (float(m.value), m.over) for name, m in output.metrics.items()}
        found.append((float(output.loss.detach()), logprobs.grad.tolist(), entropy.grad.tolist(), metrics))
    assert found[0] == found[1]
    assert found[0][1][1] == 0.0


def test_shares_of_two_micro_batches_add_up_to_the_loss_of_the_whole() -> None:
    logprobs = [-0.5, -1.5, -2.0, -0.1, -0.9]
    old, advantages = [-0.6, -1.0, -2.5, -0.3, -1.0], [1.0, 1.0, -1.0, -1.0, -1.0]
    params = make_params(reduction="sequence")
    whole = grpo.loss(params, make_terms(leaf(logprobs), old, advantages, sequence=[0, 0, 1, 1, 1]), Totals(5, 2, 2))
    first = grpo.loss(params, make_terms(leaf(logprobs[:2]), old[:2], advantages[:2]), Totals(5, 2, 2))
    second = grpo.loss(params, make_terms(leaf(logprobs[2:]), old[2:], advantages[2:]), Totals(5, 2, 2))
    torch.testing.assert_close(first.loss + second.loss, whole.loss)


def test_a_kl_term_without_reference_log_probs_is_refused() -> None:
    with pytest.raises(InternalError, match="reference log-probs"):
        grpo.loss(make_params(kl=("k3", 0.1)), make_terms(leaf([-1.0]), [-1.0], [1.0]), Totals(1, 1, 1))
    with pytest.raises(InternalError, match=r"without loss\.kl\.estimator"):
        grpo.loss(make_params(kl=(OFF, 0.1)), make_terms(leaf([-1.0]), [-1.0], [1.0]), Totals(1, 1, 1))
