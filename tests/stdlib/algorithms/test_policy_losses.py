"""Bounds, reductions, penalties and masks that several algorithms share, against numbers computed by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from compiler.ir.algorithm import GroupRelativeAlgo
from compiler.ir.loss import KL, Estimator, PositiveNll
from stdlib.algorithms import grpo
from stdlib.algorithms._terms import PolicyTerms, Totals
from tests.stdlib.algorithms.terms import clipped_loss, leaf, logprobs_of_ratios, make_terms, totals_of

pytestmark = pytest.mark.torch


def loss_of(terms: PolicyTerms, **settings: object) -> Tensor:
    return _output(terms, **settings).loss


def metric(terms: PolicyTerms, name: str, **settings: object) -> float:
    return float(_output(terms, **settings).metrics[name].value)


def _output(terms: PolicyTerms, **settings: object) -> grpo.LossOutput:
    params = grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=clipped_loss(**settings))
    return grpo.loss(params, terms, totals_of(terms))


def test_dual_clip_bounds_the_loss_of_negative_advantages() -> None:
    # A = 1, r = 0.5: -0.5;  A = -1, r = 1: 1;  A = -4, r = 10: min(40, 3 * 4) = 12
    terms = make_terms(logprobs_of_ratios([0.5, 1.0, 10.0], -1.0), [-1.0] * 3, [1.0, -1.0, -4.0])
    assert float(loss_of(terms, dual_clip=3.0).detach()) == pytest.approx(12.5 / 3)
    assert float(loss_of(terms).detach()) == pytest.approx((-0.5 + 1.0 + 40.0) / 3)


def test_dual_clip_stops_the_gradient_where_it_binds() -> None:
    logprobs = logprobs_of_ratios([10.0, 2.0], -1.0)
    loss_of(make_terms(logprobs, [-1.0] * 2, [-1.0, -1.0]), dual_clip=3.0).backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_a_largest_ratio_bounds_the_branch_that_is_not_clipped() -> None:
    terms = make_terms(logprobs_of_ratios([10.0], -1.0), [-1.0], [-1.0])
    assert float(loss_of(terms, max_ratio=4.0).detach()) == pytest.approx(4.0)


def test_log_ratios_are_clamped_before_anything_else() -> None:
    terms = make_terms(leaf([4.0]), [0.0], [-1.0])
    assert float(loss_of(terms, log_ratio_clamp=2.0).detach()) == pytest.approx(math.exp(2.0))


def test_constant_reduction_divides_sums_by_sequences_and_the_constant() -> None:
    # losses are -A at ratio 1: 6, and 1 + 2 + 3
    terms = make_terms(leaf([-1.0] * 4), [-1.0] * 4, [-6.0, -1.0, -2.0, -3.0], sequence=[0, 1, 1, 1])
    found = float(loss_of(terms, reduction="constant", constant_tokens=10).detach())
    assert found == pytest.approx((6.0 + 6.0) / (2 * 10))


@pytest.mark.parametrize(("fate", "expected"), [("count", 3.0), ("skip", 6.0)])
def test_empty_sequences_are_zeros_or_not_there(fate: str, expected: float) -> None:
    terms = make_terms(leaf([-1.0] * 2), [-1.0] * 2, [-6.0, -1.0], mask=[1.0, 0.0], sequence=[0, 1])
    found = loss_of(terms, reduction="sequence", empty_sequences=fate)
    assert float(found.detach()) == pytest.approx(expected)


def test_weights_multiply_the_policy_gradient_and_nothing_else() -> None:
    terms = make_terms(
        leaf([-1.0, -1.0]), [-1.0] * 2, [2.0, 4.0], weights=[0.5, 0.0], ref=[-2.0, -2.0], entropy=leaf([0.3, 0.5])
    )
    found = loss_of(terms, entropy_coef=1.0, kl=KL(estimator="k1", coef=1.0))
    assert float(found.detach()) == pytest.approx((-1.0 - 0.8 + 2.0) / 2)


def test_off_policy_sequences_with_a_negative_advantage_are_left_out() -> None:
    # mean fall of log-probs: 0.5 in sequence 0 and 1, 0.05 in sequence 2; only the first has A < 0 and moved far
    logprobs = leaf([-2.0, -1.0, -2.0, -1.0, -1.1, -1.0])
    old = [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    terms = make_terms(logprobs, old, [-1.0, -1.0, 1.0, 1.0, -1.0, -1.0], sequence=[0, 0, 1, 1, 2, 2])
    assert metric(terms, "opsm_frac", opsm_delta=0.1) == 2.0
    loss_of(terms, opsm_delta=0.1).backward()
    assert logprobs.grad is not None
    assert (logprobs.grad != 0).tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize(("estimator", "expected"), [("k1", [-1.0, 14.0, 20.0]), ("k3", [math.e - 2.0, 10.0, 10.0])])
def test_kl_is_clamped_before_and_after_it_is_estimated(estimator: Estimator, expected: list[float]) -> None:
    spec = KL(estimator=estimator, input_clamp=20.0, output_clamp=10.0 if estimator == "k3" else 1e9)
    for ref, value in zip([0.0, -15.0, -30.0], expected, strict=True):
        assert metric(make_terms(leaf([-1.0]), [-1.0], [0.0], ref=[ref]), "kl", kl=spec) == pytest.approx(value)


def test_a_token_beyond_the_input_clamp_has_no_kl_gradient() -> None:
    # d/dx (e^(r - x) - 1 + x - r) is 1 - e^(r - x): 1 - e^1 at -1 against 0, and nothing at -3
    logprobs = leaf([-3.0, -1.0])
    terms = make_terms(logprobs, [-3.0, -1.0], [0.0, 0.0], ref=[0.0, 0.0])
    loss_of(terms, kl=KL(estimator="k3", coef=1.0, input_clamp=2.0)).backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.0, (1 - math.e) / 2], dtype=torch.float64))


def test_the_score_weight_gives_the_gradient_of_the_divergence_itself() -> None:
    # Over all tokens of a distribution, sum p * grad(k1 with score weight) is the gradient of KL(p || q).
    logits = leaf([0.3, -0.7, 1.1])
    reference = torch.tensor([0.2, 0.5, -0.4], dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    (policy.exp() * (policy - reference)).sum().backward()
    assert logits.grad is not None
    expected = logits.grad.clone()
    logits.grad = None
    for token in range(3):
        logprobs = logits.log_softmax(0)
        probability = float(logprobs[token].exp().detach())
        terms = make_terms(logprobs[token : token + 1], [0.0], [0.0], ref=[float(reference[token])])
        (probability * loss_of(terms, kl=KL(estimator="k1", coef=1.0, weight="score"))).backward()
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize(("weight", "expected"), [("old", math.exp(0.5)), ("rollout", math.exp(0.25))])
def test_kl_is_weighted_by_a_ratio(weight: Literal["old", "rollout"], expected: float) -> None:
    terms = make_terms(leaf([-1.0]), [-1.5], [0.0], rollout=[-1.25], ref=[-3.0])
    assert metric(terms, "kl", kl=KL(estimator="k1", weight=weight)) == pytest.approx(expected * 2.0)


def test_shares_of_micro_batches_add_up_under_every_reduction() -> None:
    values = {"logprobs": [-0.5, -1.5, -2.0, -0.1, -0.9], "old": [-0.6, -1.0, -2.5, -0.3, -1.0]}
    advantages = [1.0, 1.0, -1.0, -1.0, -1.0]
    for reduction in ("token", "sequence", "constant"):
        params = grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=clipped_loss(reduction=reduction))
        totals = Totals(5, 2, 2)
        whole = make_terms(leaf(values["logprobs"]), values["old"], advantages, sequence=[0, 0, 1, 1, 1])
        first = make_terms(leaf(values["logprobs"][:2]), values["old"][:2], advantages[:2])
        second = make_terms(leaf(values["logprobs"][2:]), values["old"][2:], advantages[2:])
        parts = grpo.loss(params, first, totals).loss + grpo.loss(params, second, totals).loss
        torch.testing.assert_close(parts, grpo.loss(params, whole, totals).loss)


def test_a_reduction_of_ones_own_weighs_the_surrogate_and_leaves_the_rest_to_the_setting() -> None:
    logprobs = leaf([-1.0, -2.0, -3.0])
    given = make_terms(logprobs, [-1.0, -2.0, -3.0], [1.0, -2.0, 4.0], mask=[1, 1, 0], ref=[-1.0, -2.0, -3.0])
    given = given._replace(
        reduction_T=torch.tensor([0.5, 3.0, torch.nan]).double(), entropy_T=torch.tensor([0.2, 0.6, 9.0]).double()
    )
    params = grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=clipped_loss(entropy_coef=0.1))
    found = grpo.loss(params, given, totals_of(given))
    # Ratios are 1: -(0.5 x 1 + 3 x -2), less 0.1 x the mean entropy.
    assert float(found.loss.detach()) == pytest.approx(5.5 - 0.1 * 0.4)
    (gradient,) = torch.autograd.grad(found.loss, logprobs)
    assert gradient.tolist() == pytest.approx([-0.5, 6.0, 0.0])


def test_the_likelihood_of_right_responses_is_a_mean_over_their_tokens_alone() -> None:
    logprobs = leaf([-1.0, -2.0, -3.0, -4.0, -5.0])
    given = make_terms(
        logprobs, [-1.0, -2.0, -3.0, -4.0, -5.0], [0.0] * 5, mask=[1, 1, 0, 1, 1], sequence=[0, 0, 0, 1, 2]
    )
    given = given._replace(is_right_T=torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0]).double())
    totals = totals_of(given)._replace(num_right_tokens=3)
    params = grpo.Params(
        algo=GroupRelativeAlgo(name="grpo"), loss=clipped_loss(positive_nll=PositiveNll(coef=0.6, correct_at=1.0))
    )
    found = grpo.loss(params, given, totals)
    assert float(found.loss.detach()) == pytest.approx(0.6 * (1.0 + 2.0 + 5.0) / 3)
    (gradient,) = torch.autograd.grad(found.loss, logprobs)
    assert gradient.tolist() == pytest.approx([-0.2, -0.2, 0.0, 0.0, -0.2])
    assert float(found.metrics["positive_nll"].value) == pytest.approx(8.0)
    assert found.metrics["positive_nll"].over == "right_tokens"


def test_without_a_right_response_there_is_no_likelihood() -> None:
    logprobs = leaf([-1.0, -2.0])
    given = make_terms(logprobs, [-1.0, -2.0], [0.5, 0.5])._replace(is_right_T=torch.zeros(2).double())
    with_term = clipped_loss(positive_nll=PositiveNll(coef=0.6, correct_at=1.0))
    losses = [
        grpo.loss(grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=loss), given, totals_of(given)).loss
        for loss in (with_term, clipped_loss())
    ]
    assert float(losses[0].detach()) == float(losses[1].detach())
