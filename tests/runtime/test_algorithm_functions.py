"""What a function of one's own says of tokens that nobody sampled, or of which a side has no number."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest
import torch

from compiler.ir.algorithm import SeveralRewardsAlgo
from compiler.ir.loss import Mismatch, Rejection
from compiler.ir.rollout import CustomCode
from runtime.algorithm_functions import ADVANTAGES, WEIGHTS, AlgorithmFunctions
from runtime.custom_function import CustomFunction, Duty
from stdlib.algorithms import gdpo, opd
from stdlib.algorithms._correction import Correction, Gap, correction
from stdlib.algorithms._terms import Experience
from tests.stdlib.algorithms.terms import clipped_loss, policy_loss
from tests.stdlib.algorithms.test_distillation import opd_params

pytestmark = pytest.mark.torch

OWN = """import torch


def ratios(gap):
    return (gap.trainer_logprobs_T - gap.rollout_logprobs_T).exp()


def near_ones(gap):
    ratios_T = ratios(gap)
    return ratios_T, ratios_T < 2


def places(experience):
    return torch.arange(len(experience.rewards_N))


def tokens(experience):
    return torch.arange(len(experience.mask_T))
"""
TRAINER = [-1.0, -1.0, math.log(3) - 2.0, -1.0, -1.0]
ENGINE = [-1.0, -1.0 - math.log(1.5), -2.0, -math.inf, math.nan]
MASK = [0.0, 1.0, 1.0, 1.0, 0.0]


def function(folder: Path, name: str, duty: Duty) -> CustomFunction:
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    code = CustomCode(path="own.py", function=name, sha256=hashlib.sha256(OWN.encode()).hexdigest())
    return CustomFunction(code, root=folder, field="here", duty=duty)


def corrected(folder: Path, name: str, rejection: Rejection) -> Correction:
    functions = AlgorithmFunctions(weights=function(folder, name, WEIGHTS), advantages=None)
    gap = Gap(torch.tensor(TRAINER), torch.tensor(ENGINE), torch.tensor(MASK), torch.tensor([0, 0, 0, 1, 1]))
    loss = policy_loss(mismatch=Mismatch(function=f"own.py:{name}"), rejection=rejection)
    return correction(loss, gap, functions.weigh("in step 1"))


def test_weights_are_the_functions_where_both_sides_have_a_number(tmp_path: Path) -> None:
    found = corrected(tmp_path, "ratios", Rejection())
    assert found.weights_T.tolist() == pytest.approx([0.0, 1.5, 3.0, 0.0, 0.0])
    assert found.mask_T.tolist() == MASK
    assert found.metrics["mismatch/dropped_sequences"] == 0.0


def test_a_mask_leaves_out_more_and_brings_nothing_back(tmp_path: Path) -> None:
    found = corrected(tmp_path, "near_ones", Rejection())
    assert found.weights_T.tolist() == pytest.approx([0.0, 1.5, 0.0, 0.0, 0.0])
    # The weight of the fourth token is infinite, and not less than 2: its sequence has nothing left.
    assert found.mask_T.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert found.metrics["mismatch/dropped_sequences"] == 1.0


def test_rejection_applies_to_what_the_function_leaves(tmp_path: Path) -> None:
    found = corrected(tmp_path, "ratios", Rejection(level="token", low=0.5, high=2.0, left_out="skip"))
    assert found.weights_T.tolist() == pytest.approx([0.0, 1.5, 0.0, 0.0, 0.0])
    assert found.mask_T.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("name", "expected"), [("places", [0.0, 0.0, 1.0, 1.0]), ("tokens", [0.0, 1.0, 2.0, 3.0])])
def test_advantages_stand_for_the_comparison_and_nothing_else(tmp_path: Path, name: str, expected: list[float]) -> None:
    functions = AlgorithmFunctions(weights=None, advantages=function(tmp_path, name, ADVANTAGES))
    mask = [1.0, 1.0, 1.0, 0.0]
    known = Experience(
        rewards_N=torch.tensor([5.0, 3.0]),
        group_N=torch.tensor([0, 0]),
        mask_T=torch.tensor(mask),
        sequence_T=torch.tensor([0, 0, 1, 1]),
        reward_terms={"one": torch.tensor([5.0, 3.0])},
        term_weights={"one": 1.0},
        old_logprobs_T=torch.tensor([-1.0, -2.0, -3.0, -4.0]),
        teacher_logprobs_T=torch.tensor([-2.0, -2.0, -2.0, -2.0]),
    )
    known = known._replace(own_advantages_T=functions.advantages_of(known, "in step 1"))
    kept = [a * m for a, m in zip(expected, mask, strict=True)]
    of_several = gdpo.Params(algo=SeveralRewardsAlgo(name="gdpo"), loss=clipped_loss())
    assert gdpo.advantages(of_several, known).advantages_T.tolist() == kept
    found = opd.advantages(opd_params(rewards="group", teacher_coef=0.5), known)
    # Less half of log student - log teacher, which is 1, 0, -1.
    assert found.advantages_T.tolist() == [kept[0] - 0.5, kept[1], kept[2] + 0.5, 0.0]
