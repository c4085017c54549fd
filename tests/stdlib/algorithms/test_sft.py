"""Supervised fine-tuning against hand computations."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal, Never

import pytest
import torch

from compiler.ir.algorithm import Algo
from compiler.ir.loss import LikelihoodLoss
from stdlib.algorithms import sft
from stdlib.algorithms._terms import SupervisedTerms, Totals

pytestmark = pytest.mark.torch


def make_params(reduction: Literal["token", "sequence"] = "token") -> sft.Params[Never]:
    return sft.Params(algo=Algo(name="sft"), loss=LikelihoodLoss(reduction=reduction))


def make_terms(logprobs: list[float], mask: list[float], sequence: list[int]) -> SupervisedTerms:
    return SupervisedTerms(
        logprobs_T=torch.tensor(logprobs, requires_grad=True),
        mask_T=torch.tensor(mask),
        sequence_T=torch.tensor(sequence),
    )


def test_token_reduction_is_the_mean_over_unmasked_tokens() -> None:
    output = sft.loss(make_params(), make_terms([-1.0, -2.0, -9.0, -6.0], [1, 1, 0, 1], [0, 0, 0, 1]), Totals(3, 2, 2))
    assert float(output.loss.detach()) == pytest.approx(3.0)
    assert float(output.metrics["nll"].value) == pytest.approx(9.0)
    assert output.metrics["nll"].over == "tokens"


def test_sequence_reduction_is_the_mean_of_means() -> None:
    terms = make_terms([-1.0, -2.0, -9.0, -6.0], [1, 1, 0, 1], [0, 0, 0, 1])
    assert float(sft.loss(make_params("sequence"), terms, Totals(3, 2, 2)).loss.detach()) == pytest.approx(
        (1.5 + 6) / 2
    )


def test_gradient_is_minus_the_weight_of_each_token() -> None:
    terms = make_terms([-1.0, -2.0, -9.0, -6.0], [1, 1, 0, 1], [0, 0, 0, 1])
    sft.loss(make_params("sequence"), terms, Totals(3, 2, 2)).loss.backward()
    assert terms.logprobs_T.grad is not None
    assert terms.logprobs_T.grad.tolist() == [-0.25, -0.25, 0.0, -0.5]


def test_a_masked_token_of_probability_zero_has_no_effect() -> None:
    terms = make_terms([-1.0, float("-inf")], [1, 0], [0, 0])
    output = sft.loss(make_params(), terms, Totals(1, 1, 1))
    output.loss.backward()
    assert float(output.loss.detach()) == 1.0
    assert terms.logprobs_T.grad is not None
    assert terms.logprobs_T.grad.tolist() == [-1.0, 0.0]


def test_algorithms_do_not_load_torch() -> None:
    code = "import sys, stdlib.algorithms.grpo, stdlib.algorithms.sft; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
