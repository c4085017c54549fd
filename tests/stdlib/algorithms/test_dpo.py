"""DPO: losses, rewards and gradients against numbers computed by hand and finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from compiler.ir.algorithm import Algo
from compiler.ir.loss import PreferenceLoss
from stdlib.algorithms import dpo
from stdlib.algorithms._terms import LossOutput, PreferenceTerms, Totals
from tests.stdlib.algorithms.terms import leaf

pytestmark = pytest.mark.torch

# Two pairs: answers of 2 and 1 tokens, then of 1 and 2.
SEQUENCES = [0, 0, 1, 2, 3, 3]
LOGPROBS = [-1.0, -2.0, -4.0, -0.5, -1.0, -1.5]
REFERENCE = [-1.5, -2.0, -3.0, -1.0, -1.0, -1.0]


def terms_of(logprobs: Tensor, reference: list[float] | None = None) -> PreferenceTerms:
    return PreferenceTerms(
        logprobs_T=logprobs,
        mask_T=torch.ones(len(SEQUENCES), dtype=logprobs.dtype),
        sequence_T=torch.tensor(SEQUENCES),
        ref_logprobs_T=torch.tensor(reference or REFERENCE, dtype=logprobs.dtype),
    )


def output_of(logprobs: Tensor | None = None, reference: list[float] | None = None, **settings: Any) -> LossOutput:
    params = dpo.Params(algo=Algo(name="dpo"), loss=PreferenceLoss(**settings))
    return dpo.loss(params, terms_of(leaf(LOGPROBS) if logprobs is None else logprobs, reference), Totals(6, 4, 4))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_margins_are_gains_over_the_reference() -> None:
    # gains: 0.5, -1, 0.5, -0.5; margins 1.5 and 1
    output = output_of(beta=0.2)
    assert float(output.loss.detach()) == pytest.approx((softplus(-0.3) + softplus(-0.2)) / 2)
    found = {name: float(m.value) / 2 for name, m in output.metrics.items()}
    assert found["accuracy"] == 1.0
    assert found["reward_margin"] == pytest.approx(0.2 * 1.25)
    assert found["chosen_reward"] == pytest.approx(0.2 * 0.5)
    assert found["rejected_reward"] == pytest.approx(-0.2 * 0.75)


def test_the_first_loss_is_the_logarithm_of_two() -> None:
    assert float(output_of(reference=LOGPROBS).loss.detach()) == pytest.approx(math.log(2))


def test_means_over_tokens_make_answers_of_any_length_alike() -> None:
    # gains 0.25, -1, 0.5, -0.25
    found = float(output_of(beta=1.0, average_logprobs=True).loss.detach())
    assert found == pytest.approx((softplus(-1.25) + softplus(-0.75)) / 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kind": "hinge", "beta": 0.8}, (0.0 + 0.2) / 2),
        ({"kind": "ipo", "beta": 0.5}, ((1.5 - 1.0) ** 2 + 0.0) / 2),
        (
            {"label_smoothing": 0.1, "beta": 1.0},
            (0.9 * softplus(-1.5) + 0.1 * softplus(1.5) + 0.9 * softplus(-1.0) + 0.1 * softplus(1.0)) / 2,
        ),
        ({"preference_coef": 0.0, "sft_coef": 2.0}, 2.0 * (1.5 + 0.5) / 2),
        ({"preference_coef": 0.0, "sft_coef": 1.0, "sft_average": False}, (3.0 + 0.5) / 2),
    ],
)
def test_other_losses(settings: dict[str, Any], expected: float) -> None:
    assert float(output_of(**settings).loss.detach()) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_gradients_match_finite_differences(kind: str) -> None:
    def function(logprobs: Tensor) -> Tensor:
        return output_of(logprobs, kind=kind, beta=0.7, sft_coef=0.3).loss

    assert torch.autograd.gradcheck(function, (leaf(LOGPROBS),))


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_margins_of_any_size_have_finite_losses_and_gradients(scale: float) -> None:
    logprobs = leaf([scale, 0.0, 0.0, scale, 0.0, 0.0])
    output = output_of(logprobs, beta=1.0, label_smoothing=0.1)
    output.loss.backward()
    assert math.isfinite(float(output.loss.detach()))
    assert logprobs.grad is not None
    assert bool(logprobs.grad.isfinite().all())
