"""GSPO, CISPO and SAPO: their ratios and gradients against numbers computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from compiler.ir.algorithm import GroupRelativeAlgo
from compiler.ir.loss import KL, Mismatch, RatioLoss, Rejection
from stdlib.algorithms import cispo, gspo, sapo
from stdlib.algorithms._terms import Totals
from tests.stdlib.algorithms.terms import clipped_loss, leaf, logprobs_of_ratios, make_terms, totals_of

pytestmark = pytest.mark.torch

ALGO = GroupRelativeAlgo(name="of the group")
PARTS: dict[str, Any] = {"constant_tokens": 8, "kl": KL(), "mismatch": Mismatch(), "rejection": Rejection()}


def ratio_loss(**changes: Any) -> RatioLoss[Any]:
    settings: dict[str, Any] = {**PARTS, "clip_high": 0.2, **changes}
    return RatioLoss(**settings)


def test_gspo_takes_one_ratio_for_a_response() -> None:
    # ratio (0.5 * 1 * 1.5)^(1/3) = 0.9086 for all three tokens: loss -0.9086 * mean(A) = -0.6057
    terms = make_terms(logprobs_of_ratios([0.5, 1.0, 1.5], -1.0), [-1.0] * 3, [1.0, -1.0, 2.0])
    params = gspo.Params(algo=ALGO, loss=clipped_loss())
    assert float(gspo.loss(params, terms, totals_of(terms)).loss.detach()) == pytest.approx(-0.6057, abs=5e-5)


def test_gspo_spreads_the_gradient_evenly_over_a_response() -> None:
    logprobs = logprobs_of_ratios([0.9, 1.0, 1.1], -1.0)
    terms = make_terms(logprobs, [-1.0] * 3, [2.0] * 3)
    params = gspo.Params(algo=ALGO, loss=clipped_loss())
    gspo.loss(params, terms, totals_of(terms)).loss.backward()
    ratio = (0.9 * 1.0 * 1.1) ** (1 / 3)
    assert logprobs.grad is not None
    # d/dlogp_t of -2 * exp(mean log ratio) = -2 * ratio / 3
    assert logprobs.grad.tolist() == pytest.approx([-2.0 * ratio / 3] * 3)


def test_gspo_clips_whole_responses() -> None:
    terms = make_terms(logprobs_of_ratios([1.5, 1.5, 1.0, 1.0], -1.0), [-1.0] * 4, [1.0] * 4, sequence=[0, 0, 1, 1])
    params = gspo.Params(algo=ALGO, loss=clipped_loss(clip_low=0.2))
    output = gspo.loss(params, terms, totals_of(terms))
    assert float(output.metrics["clip_frac"].value) == 2.0
    assert float(output.loss.detach()) == pytest.approx(-(1.2 + 1.0) / 2)


def test_gspo_ignores_masked_tokens_in_the_mean() -> None:
    found = []
    for junk in (-1.0, math.nan):
        logprobs = leaf([-0.9, junk, -1.2])
        terms = make_terms(logprobs, [-1.0] * 3, [1.0] * 3, mask=[1.0, 0.0, 1.0])
        output = gspo.loss(gspo.Params(algo=ALGO, loss=clipped_loss()), terms, totals_of(terms))
        output.loss.backward()
        assert logprobs.grad is not None
        found.append((float(output.loss.detach()), logprobs.grad.tolist()))
    assert found[0] == found[1]
    assert found[0][0] == pytest.approx(-math.exp((0.1 - 0.2) / 2))


def test_cispo_bounds_the_weight_and_keeps_every_gradient() -> None:
    logprobs = logprobs_of_ratios([0.5, 1.0, 1.5], -1.0)
    terms = make_terms(logprobs, [-1.0] * 3, [1.0, -1.0, 2.0])
    params = cispo.Params(algo=ALGO, loss=ratio_loss(clip_low=1.0))
    output = cispo.loss(params, terms, totals_of(terms))
    output.loss.backward()
    values = logprobs.detach().tolist()
    expected = -(0.5 * values[0] - values[1] + 1.2 * 2.0 * values[2]) / 3
    assert float(output.loss.detach()) == pytest.approx(expected)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.5 / 3, 1.0 / 3, -2.4 / 3])
    assert float(output.metrics["clip_frac"].value) == 1.0


def test_cispo_has_a_lower_bound_where_one_is_set() -> None:
    logprobs = logprobs_of_ratios([0.5], -1.0)
    terms = make_terms(logprobs, [-1.0], [1.0])
    cispo.loss(cispo.Params(algo=ALGO, loss=ratio_loss(clip_low=0.2)), terms, totals_of(terms)).loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.8])


def soft_params(**changes: Any) -> sapo.Params[Any]:
    return sapo.Params(algo=ALGO, loss=sapo.SoftLoss(**{**PARTS, **changes}))


def test_sapo_is_the_policy_gradient_at_ratio_one() -> None:
    logprobs = logprobs_of_ratios([1.0, 1.0], -1.0)
    terms = make_terms(logprobs, [-1.0] * 2, [1.0, -3.0])
    output = sapo.loss(soft_params(gate_positive=1.0, gate_negative=2.0), terms, totals_of(terms))
    output.loss.backward()
    # 4 / tau * sigmoid(0) = 2 / tau
    assert float(output.loss.detach()) == pytest.approx((-2.0 + 3.0 * 1.0) / 2)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.5, 1.5])


def test_sapo_gates_fade_faster_with_a_higher_temperature() -> None:
    grads = []
    for tau in (1.0, 3.0):
        logprobs = logprobs_of_ratios([2.0], -1.0)
        terms = make_terms(logprobs, [-1.0], [1.0])
        sapo.loss(soft_params(gate_positive=tau), terms, totals_of(terms)).loss.backward()
        assert logprobs.grad is not None
        grads.append(-float(logprobs.grad))
        gate = 1 / (1 + math.exp(-tau))
        assert grads[-1] == pytest.approx(4.0 * gate * (1 - gate) * 2.0)  # the ratio's own derivative is 2
    assert grads[0] > grads[1]


@pytest.mark.parametrize("module", [gspo, cispo, sapo])
def test_gradients_match_finite_differences(module: Any) -> None:
    losses = {gspo: clipped_loss(clip_low=0.4), cispo: ratio_loss(clip_low=0.9), sapo: sapo.SoftLoss(**PARTS)}
    params = module.Params(algo=ALGO, loss=losses[module])
    old, advantages = [-1.0, -2.0, -0.5, -1.2, -3.0], [1.0, 1.0, 1.0, -1.5, -1.5]

    def function(logprobs: torch.Tensor) -> torch.Tensor:
        terms = make_terms(logprobs, old, advantages, mask=[1.0, 1.0, 0.0, 1.0, 1.0], sequence=[0, 0, 0, 1, 1])
        return module.loss(params, terms, Totals(4, 2, 2)).loss

    at = leaf([-0.9, -2.1, -0.4, -1.1, -3.1])
    if module is cispo:  # its weight has no gradient by design: the derivative is that of weight * logp
        function(at).backward()
        ratios = [math.exp(x - o) for x, o in zip(at.detach().tolist(), old, strict=True)]
        kept = [1.0, 1.0, 0.0, 1.0, 1.0]
        assert at.grad is not None
        expected = [-min(max(r, 0.1), 1.2) * a * m / 4 for r, a, m in zip(ratios, advantages, kept, strict=True)]
        assert at.grad.tolist() == pytest.approx(expected)
    else:
        assert torch.autograd.gradcheck(function, (at,))
