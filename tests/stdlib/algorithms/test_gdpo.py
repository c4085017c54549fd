"""GDPO: each reward's advantages by itself, against numbers computed by hand."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import SeveralRewardsAlgo
from stdlib.algorithms import gdpo
from tests.stdlib.algorithms.terms import clipped_loss, one_token_each

pytestmark = pytest.mark.torch

RIGHT, SHORT = [1.0, 0.0, 0.0, 1.0], [10.0, 10.0, 30.0, 10.0]


def advantages(*, weights: tuple[float, float] = (1.0, 1.0), **algo: Any) -> list[float]:
    params = gdpo.Params(algo=SeveralRewardsAlgo(name="gdpo", **algo), loss=clipped_loss())
    experience = one_token_each(torch.tensor([RIGHT]))._replace(
        reward_terms={"right": torch.tensor(RIGHT), "short": torch.tensor(SHORT)},
        term_weights={"right": weights[0], "short": weights[1]},
    )
    return gdpo.advantages(params, experience).advantages_T.tolist()


def normalised(values: list[float]) -> list[float]:
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return [(value - mean) / (deviation + 1e-6) for value in values]


def test_rewards_are_normalised_before_they_are_added_up() -> None:
    expected = [a + b for a, b in zip(normalised(RIGHT), normalised(SHORT), strict=True)]
    assert advantages(normalize_batch=False) == pytest.approx(expected, rel=1e-4)


def test_weights_multiply_advantages_so_that_no_scale_drowns_another() -> None:
    expected = [2 * a + 0.5 * b for a, b in zip(normalised(RIGHT), normalised(SHORT), strict=True)]
    assert advantages(weights=(2.0, 0.5), normalize_batch=False) == pytest.approx(expected, rel=1e-4)


def test_the_sum_is_normalised_over_the_rollout() -> None:
    expected = normalised([a + b for a, b in zip(normalised(RIGHT), normalised(SHORT), strict=True)])
    assert advantages() == pytest.approx(expected, rel=1e-4)


def test_without_rewards_by_name_there_is_nothing_to_keep_apart() -> None:
    params = gdpo.Params(algo=SeveralRewardsAlgo(name="gdpo"), loss=clipped_loss())
    with pytest.raises(InternalError, match="by name"):
        gdpo.advantages(params, one_token_each(torch.tensor([RIGHT])))
