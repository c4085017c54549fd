"""The seventeen places where slime, verl, NeMo-RL and TRL give other figures on one input: docs/guides/moving_here.md.

Each number is worked out here from the peer's own formula; what their functions return is `./do peers`.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

from compiler.ir.algorithm import AdvantageEstimationAlgo, Algo, Critic, GroupRelativeAlgo, ReturnsAlgo
from compiler.ir.loss import KL, Estimator, Mismatch, PenalizedLoss, PenaltyKL, PreferenceLoss, RatioLoss, Rejection
from compiler.ir.reward_settings import DapoReward, MathReward, Overlong
from runtime.packing.first_fit import first_fit_decreasing
from runtime.packing.modified_first_fit import modified_first_fit_decreasing
from stdlib.algorithms import cispo, dpo, grpo, gspo, ppo, reinforce_plus_plus
from stdlib.algorithms._advantages import group_advantages, whitened
from stdlib.algorithms._correction import Correction, Gap, correction
from stdlib.algorithms._terms import PolicyTerms, PreferenceTerms, Totals, ValueTerms
from stdlib.rewards import dapo, gpqa
from stdlib.rewards import math as math_reward
from stdlib.rewards._shaping import overlong_fine
from tests.stdlib.algorithms.terms import (
    clipped_loss,
    leaf,
    logprobs_of_ratios,
    make_terms,
    policy_loss,
    responses,
    totals_of,
)
from tests.support.judged import sample

pytestmark = pytest.mark.torch

ALGO = GroupRelativeAlgo(name="of groups")


def of_group(rewards: list[float], **algo: Any) -> list[float]:
    rewards_N = torch.tensor(rewards, dtype=torch.float64)
    return group_advantages(rewards_N, torch.zeros(len(rewards), dtype=torch.int64), _algo(**algo)).tolist()


def _algo(**settings: Any) -> GroupRelativeAlgo:
    return GroupRelativeAlgo(name="of groups", **settings)


def loss_of(terms: PolicyTerms, module: Any = grpo, **loss: Any) -> Tensor:
    params = module.Params(algo=ALGO, loss=clipped_loss(**loss))
    return module.loss(params, terms, totals_of(terms)).loss


def value_of(terms: PolicyTerms, module: Any = grpo, **loss: Any) -> float:
    return float(loss_of(terms, module, **loss).detach())


# 1. The deviation of a group.


@pytest.mark.parametrize("eps", [1e-6, 1e-4], ids=["slime, verl, NeMo-RL", "TRL"])
def test_01_what_is_added_to_the_deviation(eps: float) -> None:
    scale = 0.5 / (math.sqrt(1 / 3) + eps)
    assert of_group([1.0, 0.0, 0.0, 1.0], std_eps=eps) == pytest.approx([scale, -scale, -scale, scale], rel=1e-12)


# 2. NeMo-RL compares with the others, the deviation included.


def test_02_mean_and_deviation_of_the_others() -> None:
    nemo = (1 - 1 / 3) / statistics.stdev([0.0, 0.0, 1.0])
    others = 0.5 / statistics.stdev([1.0, 0.0, 0.0, 1.0])
    assert [nemo, others] == pytest.approx([1.1547, 0.8660], abs=1e-4)
    found = of_group([1.0, 0.0, 0.0, 1.0], baseline="leave_one_out")
    assert found == pytest.approx([nemo, -nemo, -nemo, nemo], rel=1e-5)
    assert of_group([1.0, 0.0, 0.0, 1.0]) == pytest.approx([others, -others, -others, others], rel=1e-5)
    assert of_group([3.0, 1.0], baseline="leave_one_out") == [2.0, -2.0]


# 3. A group of one.


@pytest.mark.parametrize(("kept", "expected"), [("zero", [0.0]), ("reward", [3.0])], ids=["NeMo-RL, TRL", "verl"])
def test_03_the_only_sample_of_a_group(kept: Any, expected: list[float]) -> None:
    assert of_group([3.0], group_of_one=kept) == expected
    assert of_group([3.0], group_of_one=kept, normalize_std=False, baseline="leave_one_out") == expected
    algo = ReturnsAlgo(name="reinforce_plus_plus", group_baseline=True, group_of_one=kept, whiten=False)
    found = reinforce_plus_plus.advantages(
        reinforce_plus_plus.Params(algo=algo, loss=_penalized()), responses([3.0], [[1.0]], groups=[0])
    )
    assert found.advantages_T.tolist() == expected


def _penalized() -> PenalizedLoss[Any]:
    parts: dict[str, Any] = {**vars(clipped_loss()), "kl": PenaltyKL()}
    return PenalizedLoss(**parts)


# 4. Whitening.


def test_04_the_variance_that_advantages_are_scaled_by() -> None:
    x_T = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    mean, ones_T = 7 / 3, torch.ones(3, dtype=torch.float64)
    most = [(x - mean) / math.sqrt(statistics.variance([1.0, 2.0, 4.0]) + 1e-8) for x in (1.0, 2.0, 4.0)]
    nemo = [(x - mean) / math.sqrt(max(statistics.pvariance([1.0, 2.0, 4.0]), 1e-8)) for x in (1.0, 2.0, 4.0)]
    assert whitened(x_T, ones_T, variance="unbiased").tolist() == pytest.approx(most, rel=1e-12)
    assert whitened(x_T, ones_T, variance="population").tolist() == pytest.approx(nemo, rel=1e-12)


# 5. Credit over tokens that the policy did not sample.  A tool spoke in between, and once more at the end.

MASK, VALUES, GAMMA, LAM = [1.0, 0.0, 1.0, 0.0], [0.5, 0.2, 0.3, 0.1], 0.9, 0.8


def estimated(masked_tokens: Any) -> list[float]:
    algo = AdvantageEstimationAlgo(name="ppo", gamma=GAMMA, lam=LAM, whiten=False, masked_tokens=masked_tokens)
    experience = responses([2.0], [MASK], groups=[0])._replace(values_T=torch.tensor(VALUES, dtype=torch.float64))
    params = ppo.Params(algo=algo, loss=_penalized(), critic=Critic(lr=1e-3))
    return ppo.advantages(params, experience).advantages_T.tolist()


def test_05_verl_and_nemo_skip_masked_tokens() -> None:
    last = 2.0 - 0.3
    assert estimated("skip") == pytest.approx([GAMMA * 0.3 - 0.5 + GAMMA * LAM * last, 0.0, last, 0.0])


def test_05_slime_counts_them_and_rewards_the_last_position() -> None:
    rewards, carried, found = [0.0, 0.0, 0.0, 2.0], 0.0, [0.0] * 4
    for t in (3, 2, 1, 0):
        after = VALUES[t + 1] if t < 3 else 0.0
        carried = rewards[t] + GAMMA * after - VALUES[t] + GAMMA * LAM * carried
        found[t] = carried
    assert estimated("count") == pytest.approx([found[0], 0.0, found[2], 0.0])


@pytest.mark.parametrize(
    ("masked_tokens", "expected"),
    [
        ("skip", [2.0 * GAMMA, 0.0, 2.0, 0.0]),
        ("between", [2.0 * GAMMA**2, 0.0, 2.0, 0.0]),
        ("count", [2.0 * GAMMA**3, 0.0, 2.0 * GAMMA, 0.0]),
    ],
    ids=["verl, NeMo-RL", "slime", "neither"],
)
def test_05_slimes_returns_begin_at_the_last_sampled_token(masked_tokens: Any, expected: list[float]) -> None:
    algo = ReturnsAlgo(name="reinforce_plus_plus", gamma=GAMMA, whiten=False, masked_tokens=masked_tokens)
    params = reinforce_plus_plus.Params(algo=algo, loss=_penalized())
    experience = responses([2.0, 1.0], [MASK, [0.0, 1.0]], groups=[0, 1])
    assert reinforce_plus_plus.advantages(params, experience).advantages_T.tolist() == pytest.approx(
        [*expected, 0, 1.0]
    )


# 6. A sequence of which every token is masked.


def emptied() -> PolicyTerms:
    # At ratio 1 the losses are -A: 6, and 1 and 3; the third is not there.
    advantages, mask, sequence = [-6.0, -1.0, -3.0, -9.0], [1.0, 1.0, 1.0, 0.0], [0, 1, 1, 2]
    return make_terms(leaf([-1.0] * 4), [-1.0] * 4, advantages, mask=mask, sequence=sequence)


@pytest.mark.parametrize("module", [grpo, gspo])
def test_06_a_masked_sequence_in_means(module: Any) -> None:
    assert value_of(emptied(), module, reduction="sequence", empty_sequences="skip") == pytest.approx((6 + 2) / 2)
    assert value_of(emptied(), module, reduction="sequence", empty_sequences="count") == pytest.approx((6 + 2) / 3)
    assert value_of(emptied(), module, reduction="token") == pytest.approx(10 / 3)
    assert value_of(emptied(), module, reduction="token", empty_as_token=True) == pytest.approx(10 / 4)  # slime


# 7. Dual clip, and what bounds a ratio.


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"dual_clip": 3.0, "log_ratio_clamp": 20.0}, [0.8, 3.0, 3.0]),
        ({}, [0.8, 10.0, math.exp(25)]),
        ({"max_ratio": 4.0}, [0.8, 4.0, 4.0]),
    ],
    ids=["verl", "slime, NeMo-RL", "TRL with delta"],
)
def test_07_ratios_of_a_negative_advantage(settings: dict[str, Any], expected: list[float]) -> None:
    for log_ratio, value in zip((math.log(0.5), math.log(10.0), 25.0), expected, strict=True):
        terms = make_terms(leaf([log_ratio - 1.0]), [-1.0], [-1.0])
        assert value_of(terms, **settings) == pytest.approx(value)


def test_07_verl_bounds_log_ratios_of_tokens_at_20_and_those_of_sequences_at_10() -> None:
    terms = make_terms(leaf([29.0, -1.0]), [-1.0, -1.0], [-1.0, -1.0])
    assert value_of(terms, log_ratio_clamp=20.0) == pytest.approx((math.exp(20) + 1) / 2)
    # mean of 30 and 0: within the bound only as a sequence of its own
    assert value_of(terms, gspo, log_ratio_clamp=10.0) == pytest.approx(math.exp(10))


# 8. The bounds of CISPO.


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(0.2, 0.28, (0.8, 1.28)), (1.0, 0.28, (0.0, 1.28)), (1.0, 4.0, (0.0, 5.0))],
    ids=["verl, NeMo-RL, slime", "the paper", "TRL with epsilon_high = 5"],
)
def test_08_weights_of_cispo(low: float, high: float, bounds: tuple[float, float]) -> None:
    for ratio in (0.5, 1.1, 9.0):
        logprobs = logprobs_of_ratios([ratio], -1.0)
        parts: dict[str, Any] = {**vars(policy_loss()), "clip_low": low, "clip_high": high}
        terms = make_terms(logprobs, [-1.0], [2.0])
        cispo.loss(cispo.Params(algo=ALGO, loss=RatioLoss(**parts)), terms, totals_of(terms)).loss.backward()
        assert logprobs.grad is not None
        assert logprobs.grad.tolist() == pytest.approx([-2.0 * min(max(ratio, bounds[0]), bounds[1])])


# 9. NeMo-RL's own figures for a weight of the engine's mismatch beside GSPO.


def corrected(trainer: list[float], engine: list[float], **settings: Any) -> Correction:
    sides = [torch.tensor(x, dtype=torch.float64) for x in (trainer, engine)]
    gap = Gap(sides[0], sides[1], torch.ones_like(sides[0]), torch.zeros(len(trainer), dtype=torch.int64))
    return correction(policy_loss(**settings), gap)


@pytest.mark.parametrize(("level", "module", "expected"), [("token", grpo, -0.4744), ("sequence", gspo, -0.4846)])
def test_09_the_weight_of_a_sequence_is_a_product_and_its_ratio_a_mean(
    level: Any, module: Any, expected: float
) -> None:
    mismatch = Mismatch(bound="clip", low=0.0, high=0.8, level=level)
    weights_T = corrected([-1.0] * 3, [-0.5, -1.5, -0.8], mismatch=mismatch).weights_T
    terms = make_terms(
        logprobs_of_ratios([0.5, 1.0, 1.5], -1.0), [-1.0] * 3, [1.0, -1.0, 2.0], weights=weights_T.tolist()
    )
    assert value_of(terms, module) == pytest.approx(expected, abs=5e-5)


# 10. Dr. GRPO.


def test_10_sums_divided_by_a_constant() -> None:
    terms = make_terms(leaf([-1.0] * 4), [-1.0] * 4, [-6.0, -1.0, -2.0, -3.0], sequence=[0, 1, 1, 1])
    trl = (6 + 1 + 2 + 3) / (2 * 16)  # and verl from 0.9 on
    assert value_of(terms, reduction="constant", constant_tokens=16) == pytest.approx(trl)
    assert value_of(terms, reduction="sum", constant_tokens=16) == pytest.approx(2 * trl)  # verl before
    assert value_of(terms, reduction="sum", constant_tokens=1) == pytest.approx(12.0)  # verl's token-sum


# 11. The KL divergence as a term of the loss.


def kl_of(gap: float, *, old: float = 0.0, **kl: Any) -> tuple[float, float]:
    """Return the term and its derivative, of a token whose log-prob is `gap` above the reference's."""
    logprobs = leaf([-1.0])
    terms = make_terms(logprobs, [-1.0 - old], [0.0], ref=[-1.0 - gap])
    loss = loss_of(terms, kl=KL(coef=1.0, **kl))
    loss.backward()
    assert logprobs.grad is not None
    return float(loss.detach()), float(logprobs.grad)


def k3(gap: float) -> float:
    return math.exp(-gap) - 1.0 + gap


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"input_clamp": 20.0, "output_clamp": 10.0}, [(k3(0.5), 1 - math.exp(-0.5)), (10.0, 0.0)]),
        (
            {"input_clamp": 20.0, "output_clamp": 10.0, "weight": "score"},
            [(k3(0.5), 1 - math.exp(-0.5) + k3(0.5)), (10.0, 0.0)],
        ),
        ({"output_clamp": 10.0}, [(k3(0.5), 1 - math.exp(-0.5)), (10.0, 0.0)]),
        ({}, [(k3(0.5), 1 - math.exp(-0.5)), (k3(-4.0), 1 - math.exp(4.0))]),
    ],
    ids=["verl", "NeMo-RL", "slime low_var_kl", "slime k3, TRL"],
)
def test_11_k3_and_its_gradient(settings: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    for gap, values in zip((0.5, -4.0), expected, strict=True):
        assert kl_of(gap, estimator="k3", **settings) == pytest.approx(values)


def test_11_the_unbiased_weight_comes_before_slimes_clamp() -> None:
    ratio = math.exp(0.7)
    found = kl_of(0.5, old=0.7, estimator="k3", weight="old", output_clamp=10.0)
    assert found == pytest.approx((ratio * k3(0.5), ratio * (k3(0.5) + 1 - math.exp(-0.5))))
    assert kl_of(-2.0, old=0.7, estimator="k3", weight="old", output_clamp=10.0) == pytest.approx(
        (min(ratio * k3(-2.0), 10.0), ratio * (k3(-2.0) + 1 - math.exp(2.0)))
    )


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_11_verls_straight_through_estimates_have_the_gradient_of_k2(estimator: Estimator) -> None:
    assert kl_of(0.5, estimator="k2")[1] == pytest.approx(0.5)
    assert kl_of(0.5, estimator=estimator)[1] != pytest.approx(0.5)


# 12. The critic's loss.


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss_scale": 0.5}, 0.5 * (4.0 + 1.0 + 9.0) / 3),
        ({"loss_scale": 1.0}, (4.0 + 1.0 + 9.0) / 3),
        ({"loss_scale": 1.0, "reduction": "sequence"}, (4.0 + (1.0 + 9.0) / 2) / 2),
    ],
    ids=["verl, NeMo-RL", "slime by token", "slime"],
)
def test_12_the_squared_error_of_values(settings: dict[str, Any], expected: float) -> None:
    values = torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64)
    terms = ValueTerms(values, values, torch.zeros_like(values), torch.ones_like(values), torch.tensor([0, 1, 1]))
    found = ppo.value_loss(Critic(lr=1e-3, **settings), terms, Totals(3, 2, 2)).loss
    assert float(found) == pytest.approx(expected)


# 13. What engine and trainer disagree on.

WEIGHTS = [math.exp(x) for x in (-0.5, 2.5, -0.2)]


@pytest.mark.parametrize(
    ("mismatch", "expected"),
    [
        (Mismatch(bound="clip", low=0.7, high=2.0), [0.7, 2.0, WEIGHTS[2]]),
        (Mismatch(bound="clip", low=0.0, high=2.0), [WEIGHTS[0], 2.0, WEIGHTS[2]]),
        (Mismatch(bound="truncate", high=2.0), [WEIGHTS[0], 2.0, WEIGHTS[2]]),
        (Mismatch(bound="mask", low=0.5, high=5.0), [WEIGHTS[0], 0.0, WEIGHTS[2]]),
    ],
    ids=["slime TIS", "NeMo-RL tis", "verl TIS", "IcePop"],
)
def test_13_bounds_of_a_weight(mismatch: Mismatch, expected: list[float]) -> None:
    found = corrected([-1.5, 1.5, -1.2], [-1.0] * 3, mismatch=mismatch)
    assert found.weights_T.tolist() == pytest.approx(expected)


def test_13_verl_bounds_the_reciprocal_and_does_not_count_what_it_rejects() -> None:
    # theirs: 0.5 <= engine / trainer <= 2; ours the same of trainer / engine
    low, high = 0.5, 2.0
    keeps = [float(low <= 1 / weight <= high) for weight in WEIGHTS]
    assert keeps == [1.0, 0.0, 1.0]
    for left_out, mask in (("skip", keeps), ("count", [1.0] * 3)):
        rejection: Any = Rejection(level="token", low=1 / high, high=1 / low, left_out=left_out)
        found = corrected([-1.5, 1.5, -1.2], [-1.0] * 3, rejection=rejection)
        assert found.mask_T.tolist() == mask
        assert found.weights_T.tolist() == keeps


# 14. Preferences.


def test_14_pairs_in_turn_and_rewards_with_beta() -> None:
    # gains over the reference: 0.5 and -1; TRL reports beta times them, NeMo-RL without
    terms = PreferenceTerms(leaf([-1.0, -4.0]), torch.ones(2), torch.tensor([0, 1]), torch.tensor([-1.5, -3.0]))
    params = dpo.Params(algo=Algo(name="dpo"), loss=PreferenceLoss(beta=0.2))
    output = dpo.loss(params, terms, Totals(2, 2, 2))
    assert float(output.loss.detach()) == pytest.approx(math.log1p(math.exp(-0.2 * 1.5)))
    assert float(output.metrics["chosen_reward"].value) == pytest.approx(0.2 * 0.5)
    assert float(output.metrics["rejected_reward"].value) == pytest.approx(0.2 * -1.0)


# 15. Nothing left, and too much.


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant", "sum"])
def test_15_a_batch_without_a_token_has_a_loss_of_zero(reduction: str) -> None:
    terms = make_terms(leaf([-1.0, -2.0]), [-1.0, -2.0], [1.0, 1.0], mask=[0.0, 0.0])
    assert value_of(terms, reduction=reduction) == 0.0


@pytest.mark.parametrize(
    ("floor", "expected"),
    [(True, [1.0, 0.6, 0.1, -0.1]), (False, [1.0, 0.6, 0.1, -0.6])],
    ids=["DAPO, TRL", "NeMo-RL, verl"],
)
def test_15_the_fine_of_long_responses(floor: bool, expected: list[float]) -> None:
    # NeMo-RL's own figures: lengths 10, 22, 25, 30; rewards 1, 0.8, 0.6, 0.4
    spec = Overlong(buffer_tokens=5, penalty=0.5, max_tokens=25, floor=floor)
    found = [r + overlong_fine(n, spec) for n, r in zip((10, 22, 25, 30), (1.0, 0.8, 0.6, 0.4), strict=True)]
    assert found == pytest.approx(expected)


# 16. Ties in packing.


def test_16_of_equal_lengths_first_fit_takes_the_highest_index_and_the_modified_form_the_lowest() -> None:
    assert first_fit_decreasing([4, 4, 4], max_tokens=8) == [[2, 1], [0]]
    assert modified_first_fit_decreasing([6, 6, 3, 3], max_tokens=10) == [[0, 2], [1, 3]]


# 17. Rewards.


@pytest.mark.parametrize(
    ("text", "label", "by_value", "by_text"),
    [
        ("\\boxed{42.0}", "42", 1.0, 0.0),
        ("\\boxed{1,234}", "1234", 1.0, 0.0),
        ("\\boxed{x+1}", "1+x", 1.0, 0.0),
        ("it is $\\boxed 42$", "42", 1.0, 1.0),
        ("\\boxed{\\frac12}", "0.5", 1.0, 1.0),
    ],
)
def test_17_math_by_value_and_by_text(text: str, label: str, by_value: float, by_text: float) -> None:
    assert math_reward.reward(sample(text, label), MathReward()) == by_value
    assert math_reward.reward(sample(text, label), MathReward(compare="text")) == by_text


def test_17_dapo_labels_are_texts_or_whole_numbers() -> None:
    assert dapo.reward(sample("Answer: 42", "42.9"), DapoReward()) == -1.0  # verl
    assert dapo.reward(sample("Answer: 42", "42.9"), DapoReward(label="integer")) == 1.0  # slime


def test_17_a_letter_within_a_word_is_no_choice() -> None:
    assert gpqa.reward(sample("The answer is clearly B", "B")) == 1.0
    assert gpqa.reward(sample("The answer is clearly B", "C")) == 0.0
