"""The sampler on five tokens: filters, draws and log-probs by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.sampling import Sampler, StopTable

pytestmark = pytest.mark.torch

# Probabilities of five tokens; the likeliest first would be 3, 1, 4, 0, 2.
PROBS = (0.10, 0.25, 0.05, 0.40, 0.20)


def settings(temperature: float = 1.0, top_p: float = 1.0, top_k: int | Off = OFF) -> Sampling:
    return Sampling(temperature=temperature, top_p=top_p, top_k=top_k)


def distribution(sampling: Sampling, probs: Sequence[float] = PROBS) -> list[float]:
    """Return the probability of each token, found by drawing with a thousand evenly spaced numbers."""
    uniform_R = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    logits_RV = torch.tensor(probs).log().expand(1000, -1)
    token_R, logprob_R = Sampler([sampling] * 1000).draw(logits_RV, uniform_R)
    shares = [float((token_R == t).double().mean()) for t in range(len(probs))]
    for token, logprob in zip(token_R.tolist(), logprob_R.tolist(), strict=True):
        assert math.exp(logprob) == pytest.approx(shares[token], abs=1.1e-3)
    return shares


def test_without_filters_the_distribution_is_the_softmax() -> None:
    assert distribution(settings()) == pytest.approx(PROBS, abs=1e-3)


def test_temperature_raises_probabilities_to_its_inverse() -> None:
    # Squares: 0.0100 0.0625 0.0025 0.1600 0.0400, together 0.2750.
    assert distribution(settings(temperature=0.5)) == pytest.approx(
        [0.0364, 0.2273, 0.0091, 0.5818, 0.1455], abs=1.1e-3
    )


def test_top_k_keeps_the_likeliest() -> None:
    assert distribution(settings(top_k=2)) == pytest.approx([0, 0.3846, 0, 0.6154, 0], abs=1.1e-3)
    assert distribution(settings(top_k=1)) == [0, 0, 0, 1, 0]


def test_top_p_keeps_as_many_as_together_hold_it() -> None:
    # 0.40 + 0.25 = 0.65 is less than 0.7, and 0.20 more is enough.
    assert distribution(settings(top_p=0.7)) == pytest.approx([0, 0.2941, 0, 0.4706, 0.2353], abs=1.1e-3)
    assert distribution(settings(top_p=0.6)) == pytest.approx([0, 0.3846, 0, 0.6154, 0], abs=1.1e-3)
    assert distribution(settings(top_p=1e-6)) == [0, 0, 0, 1, 0]


def test_top_p_counts_what_top_k_left() -> None:
    # Of 0.40 and 0.25, the first holds 0.615 and is enough for 0.6; of all five it is not.
    assert distribution(settings(top_p=0.6, top_k=2)) == [0, 0, 0, 1, 0]


def test_temperature_comes_before_top_p() -> None:
    # Squared, the first holds 0.58 and the first two 0.81.
    assert distribution(settings(temperature=0.5, top_p=0.55)) == [0, 0, 0, 1, 0]
    assert distribution(settings(temperature=0.5, top_p=0.8)) == pytest.approx([0, 0.281, 0, 0.719, 0], abs=1.1e-3)


def test_of_equals_the_first_are_kept() -> None:
    assert distribution(settings(top_k=2), (0.1, 0.3, 0.3, 0.3)) == pytest.approx([0, 0.5, 0.5, 0], abs=1e-3)
    assert distribution(settings(top_p=0.5), (0.1, 0.3, 0.3, 0.3)) == pytest.approx([0, 0.5, 0.5, 0], abs=1e-3)


def test_more_candidates_than_tokens_keep_all() -> None:
    assert distribution(settings(top_k=5)) == pytest.approx(PROBS, abs=1e-3)
    assert distribution(settings(top_k=99)) == pytest.approx(PROBS, abs=1e-3)


def test_a_token_of_probability_zero_is_not_drawn() -> None:
    logits_RV = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]] * 3)
    uniform_R = torch.tensor([0.0, 0.5, 1 - 2.0**-52], dtype=torch.float64)
    token_R, logprob_R = Sampler([settings()] * 3).draw(logits_RV, uniform_R)
    assert token_R.tolist() == [1, 3, 3]
    assert logprob_R.tolist() == pytest.approx([math.log(0.5)] * 3)


def test_temperature_zero_takes_the_likeliest_and_reports_the_plain_softmax() -> None:
    logits_RV = torch.tensor([PROBS]).log()
    filtered = settings(temperature=0.0, top_p=0.1, top_k=1)
    token_R, logprob_R = Sampler([filtered]).draw(logits_RV, torch.tensor([0.99], dtype=torch.float64))
    assert token_R.tolist() == [3]
    assert logprob_R.tolist() == pytest.approx([math.log(0.40)])


def test_rows_of_different_settings_are_drawn_as_each_alone() -> None:
    rows = [settings(), settings(temperature=0.0), settings(0.5), settings(top_k=2), settings(top_p=0.7)]
    rows += [settings(2.0, 0.9, 3), settings(top_k=77), settings(temperature=0.0, top_k=1)]
    for number in (0.0, 0.2, 0.5, 0.8, 0.999):
        uniform_R = torch.full((len(rows),), number, dtype=torch.float64)
        logits_RV = torch.tensor([PROBS]).log().expand(len(rows), -1)
        token_R, logprob_R = Sampler(rows).draw(logits_RV, uniform_R)
        alone = [Sampler([row]).draw(logits_RV[:1], uniform_R[:1]) for row in rows]
        assert token_R.tolist() == [int(token) for token, _ in alone]
        assert logprob_R.tolist() == pytest.approx([float(logprob) for _, logprob in alone], abs=1e-6)


@pytest.mark.parametrize("row", [settings(), settings(0.0), settings(0.7, 0.9, 3), settings(top_k=2)], ids=str)
def test_logits_that_are_not_numbers_give_log_probs_that_are_not(row: Sampling) -> None:
    logits_RV = torch.tensor([[0.0, torch.nan, 0.0, 0.0, 0.0], [torch.inf, 0.0, 0.0, 0.0, 0.0]])
    token_R, logprob_R = Sampler([row] * 2).draw(logits_RV, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert not logprob_R.isfinite().any()
    assert all(0 <= token < 5 for token in token_R.tolist())


def test_each_row_has_its_own_stop_tokens() -> None:
    table = StopTable([frozenset({1, 4}), frozenset(), frozenset({2}), frozenset({0, 1, 2})])
    hits = [table.hits(torch.full((4,), token)).tolist() for token in range(5)]
    assert hits == [
        [False, False, False, True],
        [True, False, False, True],
        [False, False, True, True],
        [False, False, False, False],
        [True, False, False, False],
    ]
    assert not table.is_empty


def test_rows_without_stop_tokens_have_nothing_to_look_for() -> None:
    table = StopTable([frozenset(), frozenset()])
    assert table.is_empty
    assert not table.hits(torch.tensor([0, 1])).any()
