"""PPO: generalised advantages, returns and the critic's loss, against numbers computed by hand and a plain loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import AdvantageEstimationAlgo, Critic
from compiler.ir.loss import PenalizedLoss, PenaltyKL
from compiler.ir.openness import OFF
from stdlib.algorithms import ppo
from stdlib.algorithms._terms import Totals, ValueTerms
from tests.stdlib.algorithms.terms import clipped_loss, leaf, responses

pytestmark = pytest.mark.torch


def params_of(*, kl: PenaltyKL | None = None, **algo: Any) -> ppo.Params[Any]:
    loss = PenalizedLoss(**vars(clipped_loss(kl=kl or PenaltyKL())))
    settings_: dict[str, Any] = {"name": "ppo", "whiten": False, **algo}
    return ppo.Params(algo=AdvantageEstimationAlgo(**settings_), loss=loss, critic=Critic(lr=1e-3))


def test_advantages_and_returns_of_one_response() -> None:
    # gamma 0.5, lambda 0.5: deltas 0.5*2 - 1 = 0, 0.5*4 - 2 = 0, 3 - 4 = -1; A = -1, -0.25, -0.0625
    experience = responses([3.0], [[0, 1, 1, 1]], groups=[0])._replace(
        values_T=torch.tensor([9.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    )
    found = ppo.advantages(params_of(gamma=0.5, lam=0.5), experience)
    assert found.advantages_T.tolist() == pytest.approx([0.0, -0.0625, -0.25, -1.0])
    assert found.returns_T is not None
    assert found.returns_T.tolist() == pytest.approx([0.0, 0.9375, 1.75, 3.0])


def test_lambda_one_gives_returns_of_the_whole_response() -> None:
    experience = responses([3.0, -1.0], [[1, 1], [0, 1]], groups=[0, 1])._replace(
        values_T=torch.tensor([0.5, 1.0, 7.0, 2.0], dtype=torch.float64)
    )
    found = ppo.advantages(params_of(gamma=1.0, lam=1.0), experience)
    assert found.returns_T is not None
    assert found.returns_T.tolist() == [3.0, 3.0, 0.0, -1.0]
    assert found.advantages_T.tolist() == [2.5, 2.0, 0.0, -3.0]


def test_the_policys_lambda_may_follow_the_length_and_the_critics_be_another() -> None:
    experience = responses([1.0], [[1, 1, 1, 1]], groups=[0])._replace(
        values_T=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    )
    # 1 - 1 / (0.5 * 4) = 0.5
    adaptive = ppo.advantages(params_of(length_adaptive=0.5, critic_lam=1.0), experience)
    fixed = ppo.advantages(params_of(lam=0.5), experience)
    assert adaptive.advantages_T.tolist() == pytest.approx(fixed.advantages_T.tolist())
    assert adaptive.returns_T is not None
    assert adaptive.returns_T.tolist() == pytest.approx([1.0] * 4)


def test_the_length_of_a_response_counts_what_is_masked() -> None:
    experience = responses([1.0], [[0, 0, 1, 1]], groups=[0])._replace(
        values_T=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), sampled_N=torch.tensor([4.0])
    )
    adaptive = ppo.advantages(params_of(length_adaptive=0.5, critic_lam=1.0), experience)
    fixed = ppo.advantages(params_of(lam=0.5), experience)
    assert adaptive.advantages_T.tolist() == pytest.approx(fixed.advantages_T.tolist())


def test_a_penalty_of_each_token_lowers_the_rewards() -> None:
    experience = responses([1.0], [[1, 1]], groups=[0])._replace(
        values_T=torch.zeros(2, dtype=torch.float64),
        old_logprobs_T=torch.tensor([-1.0, -1.0], dtype=torch.float64),
        ref_logprobs_T=torch.tensor([-2.0, -3.0], dtype=torch.float64),
    )
    kl = PenaltyKL(estimator="k1", coef=0.1, place="reward")
    found = ppo.advantages(params_of(gamma=1.0, lam=1.0, kl=kl), experience)
    assert found.advantages_T.tolist() == pytest.approx([-0.1 + 0.8, 0.8])


def test_without_values_there_is_nothing_to_estimate_from() -> None:
    with pytest.raises(InternalError, match="worth"):
        ppo.advantages(params_of(), responses([1.0], [[1]], groups=[0]))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_against_the_textbooks_double_sum(data: st.DataObject) -> None:
    masks = data.draw(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), min_size=1, max_size=4))
    rewards = data.draw(st.lists(st.floats(-3, 3), min_size=len(masks), max_size=len(masks)))
    gamma, lam = data.draw(st.floats(0.1, 1.0)), data.draw(st.floats(0.0, 1.0))
    count = sum(map(len, masks))
    values = data.draw(st.lists(st.floats(-3, 3), min_size=count, max_size=count))
    experience = responses(rewards, masks, groups=list(range(len(masks))))._replace(
        values_T=torch.tensor(values, dtype=torch.float64)
    )
    found = ppo.advantages(params_of(gamma=gamma, lam=lam), experience)
    expected, at = [0.0] * count, 0
    for reward, mask in zip(rewards, masks, strict=True):
        places = [at + i for i, m in enumerate(mask) if m]
        after = [values[p] for p in places[1:]] + [0.0]
        deltas = [
            (reward if k == len(places) - 1 else 0.0) + gamma * after[k] - values[p] for k, p in enumerate(places)
        ]
        for k, place in enumerate(places):
            expected[place] = sum((gamma * lam) ** (j - k) * deltas[j] for j in range(k, len(places)))
        at += len(mask)
    assert found.advantages_T.tolist() == pytest.approx(expected)


def value_terms(values: torch.Tensor, old: list[float], returns: list[float]) -> ValueTerms:
    return ValueTerms(
        values_T=values,
        old_values_T=torch.tensor(old, dtype=torch.float64),
        returns_T=torch.tensor(returns, dtype=torch.float64),
        mask_T=torch.ones(len(old), dtype=torch.float64),
        sequence_T=torch.zeros(len(old), dtype=torch.int64),
    )


def test_value_loss_takes_the_larger_error_of_the_value_and_the_clipped_one() -> None:
    # V = 1, old 0, R = 1: error 0, clipped to 0.2: 0.64.  V = 0.1, old 0, R = 1: 0.81 both
    values = leaf([1.0, 0.1])
    output = ppo.value_loss(Critic(lr=1.0), value_terms(values, [0.0, 0.0], [1.0, 1.0]), Totals(2, 1, 1))
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(0.5 * (0.64 + 0.81) / 2)
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.0, -0.9 / 2])
    assert float(output.metrics["value_clip_frac"].value) == 1.0


def test_value_loss_without_a_clip_is_the_squared_error() -> None:
    spec = Critic(lr=1.0, value_clip=OFF, loss_scale=1.0)
    output = ppo.value_loss(spec, value_terms(leaf([1.0, 0.1]), [0.0, 0.0], [3.0, 1.0]), Totals(2, 1, 1))
    assert float(output.loss.detach()) == pytest.approx((4.0 + 0.81) / 2)
