"""Advantages of groups, returns and greedy baselines, against numbers computed by hand."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import GreedyBaselineAlgo, GroupRelativeAlgo, ReturnsAlgo
from compiler.ir.loss import PenalizedLoss, PenaltyKL
from stdlib.algorithms import reinforce_plus_plus, remax, rloo
from stdlib.algorithms._advantages import finished, group_advantages, whitened
from tests.stdlib.algorithms.terms import (
    clipped_loss,
    leaf,
    make_terms,
    one_token_each,
    policy_loss,
    responses,
    totals_of,
)

pytestmark = pytest.mark.torch


def of_groups(rewards: list[list[float]], **settings: Any) -> list[list[float]]:
    rewards_BG = torch.tensor(rewards, dtype=torch.float64)
    found = one_token_each(rewards_BG)
    algo = GroupRelativeAlgo(name="any", **settings)
    return group_advantages(found.rewards_N, found.group_N, algo).reshape(rewards_BG.shape).tolist()


def test_leave_one_out_takes_mean_and_deviation_of_the_others() -> None:
    scale = (2 / 3) / math.sqrt(1 / 3)
    found = of_groups([[1.0, 0.0, 0.0, 1.0]], baseline="leave_one_out")
    assert found[0] == pytest.approx([scale, -scale, -scale, scale], rel=1e-5)
    assert scale == pytest.approx(1.1547, abs=1e-4)


def test_leave_one_out_of_three() -> None:
    # baselines 2.5, 2, 1.5 and 5.5, 5, 4.5; deviations of the other two 0.7071, 1.4142, 0.7071
    found = of_groups([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], baseline="leave_one_out")
    for row in found:
        assert row == pytest.approx([-1.5 / math.sqrt(0.5), 0.0, 1.5 / math.sqrt(0.5)], rel=1e-5)


def test_leave_one_out_of_two_is_not_scaled() -> None:
    assert of_groups([[1.0, 0.0]], baseline="leave_one_out") == [[1.0, -1.0]]


def test_the_outlier_of_a_group_keeps_its_plain_difference() -> None:
    # the others of the outlier are equal: their deviation is 0
    found = of_groups([[1.0, 0.0, 0.0, 0.0]], baseline="leave_one_out")
    assert found[0][0] == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.floats(-1e4, 1e4))
def test_leave_one_out_against_the_statistics_of_the_others(rewards: list[float], shift: float) -> None:
    shifted = [r + shift for r in rewards]
    found = of_groups([shifted], baseline="leave_one_out", std_eps=1e-3)[0]
    if len(set(shifted)) == 1:
        assert found == [0.0] * len(rewards)
        return
    for i, reward in enumerate(shifted):
        others = shifted[:i] + shifted[i + 1 :]
        above, deviation = reward - statistics.fmean(others), statistics.stdev(others)
        if deviation > 1e-6:
            assert found[i] == pytest.approx(above / (deviation + 1e-3), rel=1e-4, abs=1e-5)


def test_groups_may_have_different_sizes_and_any_names() -> None:
    rewards_N = torch.tensor([3.0, 1.0, 5.0, 7.0, 9.0, 2.0])
    group_N = torch.tensor([7, 7, 2, 2, 2, 40])
    found = group_advantages(rewards_N, group_N, GroupRelativeAlgo(name="any", normalize_std=False))
    assert found.tolist() == [1.0, -1.0, -2.0, 0.0, 2.0, 0.0]


def test_whitening_has_mean_zero_and_variance_one_over_unmasked_tokens() -> None:
    x_T, mask_T = torch.tensor([1.0, 2.0, 99.0, 4.0]), torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = whitened(x_T, mask_T, variance="unbiased").tolist()
    deviation = statistics.stdev([1.0, 2.0, 4.0])
    assert found == pytest.approx([(1 - 7 / 3) / deviation, (2 - 7 / 3) / deviation, 0.0, (4 - 7 / 3) / deviation])
    found = whitened(x_T, mask_T, variance="population").tolist()
    assert found[0] == pytest.approx((1 - 7 / 3) / statistics.pstdev([1.0, 2.0, 4.0]))


@pytest.mark.parametrize("variance", ["unbiased", "population"])
def test_whitening_of_equal_or_single_values_is_zero(variance: Any) -> None:
    assert whitened(torch.full((3,), 2.5), torch.ones(3), variance=variance).tolist() == [0.0] * 3
    assert whitened(torch.tensor([2.5, 1.0]), torch.tensor([1.0, 0.0]), variance=variance).tolist() == [0.0] * 2


def test_advantages_are_clamped_last() -> None:
    algo = GroupRelativeAlgo(name="any", advantage_low=-1.0, advantage_high=0.5)
    found = finished(torch.tensor([-3.0, 3.0, 9.0]), torch.tensor([1.0, 1.0, 0.0]), algo)
    assert found.tolist() == [-1.0, 0.5, 0.0]


def test_rloo_is_reinforce_above_the_mean_of_the_others() -> None:
    params = rloo.Params(algo=rloo.LeaveOneOutAlgo(name="rloo"), loss=policy_loss())
    experience = one_token_each(torch.tensor([[1.0, 2.0, 3.0]]))
    assert rloo.advantages(params, experience).advantages_T.tolist() == [-1.5, 0.0, 1.5]
    logprobs = leaf([-1.0, -2.0])
    terms = make_terms(logprobs, [-5.0, -5.0], [3.0, -1.0])
    output = rloo.loss(params, terms, totals_of(terms))
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx((3.0 - 2.0) / 2)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1.5, 0.5]


def test_remax_compares_with_the_greedy_response() -> None:
    params = remax.Params(algo=GreedyBaselineAlgo(name="remax"), loss=policy_loss())
    experience = one_token_each(torch.tensor([[1.0, 0.0]]))
    with pytest.raises(InternalError, match="greedy"):
        remax.advantages(params, experience)
    known = experience._replace(baselines_N=torch.tensor([0.25, 0.25]))
    assert remax.advantages(params, known).advantages_T.tolist() == [0.75, -0.25]


def returns_params(*, kl: PenaltyKL | None = None, **algo: Any) -> reinforce_plus_plus.Params[Any]:
    loss = clipped_loss(kl=kl or PenaltyKL())
    return reinforce_plus_plus.Params(
        algo=ReturnsAlgo(name="reinforce_plus_plus", **algo), loss=PenalizedLoss(**vars(loss))
    )


def test_returns_are_discounted_from_the_last_token() -> None:
    experience = responses([1.0, -2.0], [[0, 1, 1, 1], [0, 0, 1]], groups=[0, 1])
    params = returns_params(whiten=False, gamma=0.5)
    found = reinforce_plus_plus.advantages(params, experience).advantages_T
    assert found.tolist() == [0.0, 0.25, 0.5, 1.0, 0.0, 0.0, -2.0]


@pytest.mark.parametrize(
    ("masked", "expected"), [("skip", [0.0, 0.5, 0.0, 1.0, 0.0]), ("count", [0.0, 0.125, 0.0, 0.5, 0.0])]
)
def test_tokens_that_were_not_sampled_may_be_steps(masked: str, expected: list[float]) -> None:
    # prompt, sampled, tool, sampled, tool: with "count" the reward stands on the last token of all
    experience = responses([1.0], [[0, 1, 0, 1, 0]], groups=[0])
    params = returns_params(whiten=False, gamma=0.5, masked_tokens=masked)
    assert reinforce_plus_plus.advantages(params, experience).advantages_T.tolist() == expected


def test_a_penalty_is_taken_off_the_reward_of_each_token() -> None:
    experience = responses([1.0], [[0, 1, 1]], groups=[0])._replace(
        old_logprobs_T=torch.tensor([0.0, -1.0, -2.0], dtype=torch.float64),
        ref_logprobs_T=torch.tensor([0.0, -1.5, -1.0], dtype=torch.float64),
    )
    params = returns_params(kl=PenaltyKL(estimator="k1", coef=0.1, place="reward"), whiten=False)
    found = reinforce_plus_plus.advantages(params, experience).advantages_T.tolist()
    # rewards -0.1 * 0.5 and 1 + 0.1 * 1, summed from the end
    assert found == pytest.approx([0.0, 1.05, 1.1])


def test_the_baseline_form_keeps_the_penalty_of_each_token_to_itself() -> None:
    experience = responses([1.0, 0.0], [[1, 1], [1]], groups=[0, 0])._replace(
        old_logprobs_T=torch.tensor([-1.0, -2.0, -1.0], dtype=torch.float64),
        ref_logprobs_T=torch.tensor([-1.5, -1.0, -1.0], dtype=torch.float64),
    )
    kl = PenaltyKL(estimator="k1", coef=0.1, place="reward")
    params = returns_params(kl=kl, whiten=False, group_baseline=True)
    found = reinforce_plus_plus.advantages(params, experience).advantages_T.tolist()
    assert found == pytest.approx([0.5 - 0.05, 0.5 + 0.1, -0.5])


def test_a_penalty_in_the_reward_is_no_term_of_the_loss() -> None:
    terms = make_terms(leaf([-1.0]), [-1.0], [0.0], ref=[-3.0])
    losses = []
    for place in ("loss", "reward"):
        params = returns_params(kl=PenaltyKL(estimator="k2", coef=1.0, place=place))
        output = reinforce_plus_plus.loss(params, terms, totals_of(terms))
        assert float(output.metrics["kl"].value) == pytest.approx(2.0)
        losses.append(float(output.loss.detach()))
    assert losses == pytest.approx([2.0, 0.0])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_returns_against_a_plain_sum(data: st.DataObject) -> None:
    masks = data.draw(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), min_size=1, max_size=4))
    rewards = data.draw(st.lists(st.floats(-3, 3), min_size=len(masks), max_size=len(masks)))
    gamma = data.draw(st.floats(0.1, 1.0))
    experience = responses(rewards, masks, groups=list(range(len(masks))))
    found = reinforce_plus_plus.advantages(returns_params(whiten=False, gamma=gamma), experience).advantages_T.tolist()
    expected: list[float] = []
    for reward, mask in zip(rewards, masks, strict=True):
        places = [i for i, m in enumerate(mask) if m]
        row = [0.0] * len(mask)
        for k, place in enumerate(places):
            row[place] = reward * gamma ** (len(places) - 1 - k)
        expected += row
    assert found == pytest.approx(expected)
