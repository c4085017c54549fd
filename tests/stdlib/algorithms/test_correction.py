"""Importance weights and rejections between engine and trainer, against numbers computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from compiler.ir.loss import Level, Mismatch, Rejection
from stdlib.algorithms._correction import Correction, Gap, correction, is_needed
from tests.stdlib.algorithms.terms import policy_loss

pytestmark = pytest.mark.torch

LOG_RATIOS = [-0.5, 2.5, -0.2]  # weights 0.6065, 12.182, 0.8187


def corrected(
    log_ratios: Sequence[float],
    *,
    mismatch: Mismatch | None = None,
    rejection: Rejection | None = None,
    mask: Sequence[float] | None = None,
    sequence: Sequence[int] | None = None,
) -> Correction:
    count = len(log_ratios)
    gap = Gap(
        torch.tensor(log_ratios, dtype=torch.float64) - 1.0,
        torch.full((count,), -1.0, dtype=torch.float64),
        torch.tensor(mask or [1.0] * count, dtype=torch.float64),
        torch.tensor(sequence or [0] * count),
    )
    return correction(policy_loss(mismatch=mismatch or Mismatch(), rejection=rejection or Rejection()), gap)


@pytest.mark.parametrize(
    ("mismatch", "expected"),
    [
        (Mismatch(bound="none"), [0.6065, 12.1825, 0.8187]),
        (Mismatch(bound="truncate", high=2.0), [0.6065, 2.0, 0.8187]),
        (Mismatch(bound="clip", low=0.7, high=2.0), [0.7, 2.0, 0.8187]),
        (Mismatch(bound="mask", low=0.5, high=5.0), [0.6065, 0.0, 0.8187]),
        (Mismatch(bound="none", level="sequence"), [math.exp(1.8)] * 3),
        (Mismatch(bound="none", level="geometric"), [math.exp(0.6)] * 3),
    ],
)
def test_weights(mismatch: Mismatch, expected: list[float]) -> None:
    found = corrected(LOG_RATIOS, mismatch=mismatch)
    assert found.weights_T.tolist() == pytest.approx(expected, abs=1e-4)
    assert found.mask_T.tolist() == [1.0] * 3


def test_weights_may_have_mean_one() -> None:
    found = corrected(LOG_RATIOS, mismatch=Mismatch(bound="truncate", high=2.0, normalize=True))
    assert float(found.weights_T.mean()) == pytest.approx(1.0)
    assert found.metrics["mismatch/weight_mean"] == pytest.approx(1.0)


@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
def test_masked_tokens_have_no_effect(level: Level) -> None:
    spec = Mismatch(bound="none", level=level)
    results = [corrected([0.1, junk, 0.3], mismatch=spec, mask=[1.0, 0.0, 1.0]) for junk in (0.0, math.nan, math.inf)]
    assert all(r.weights_T.tolist() == results[0].weights_T.tolist() for r in results)
    assert results[0].weights_T[1] == 0.0


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mismatch", [Mismatch(bound="none"), Mismatch(bound="mask", low=0.0, high=2.0)])
def test_a_token_without_a_number_is_left_out(mismatch: Mismatch, junk: float) -> None:
    found = corrected([junk, 0.0], mismatch=mismatch)
    assert found.weights_T.tolist() == [0.0, 1.0]
    assert found.metrics["mismatch/zero_frac"] == 0.5


@pytest.mark.parametrize("level", ["sequence", "geometric"])
def test_a_sequence_that_is_judged_is_left_out_with_its_token_without_a_number(level: Level) -> None:
    found = corrected([math.nan, *[0.0] * 9, 0.0], rejection=Rejection(level=level, low=0.1), sequence=[0] * 10 + [1])
    assert found.weights_T.tolist() == [*[0.0] * 10, 1.0]


@pytest.mark.parametrize(
    ("rejection", "expected"),
    [
        (Rejection(level="token", low=0.5, high=5.0), [1.0, 0.0, 1.0, 1.0]),
        (Rejection(level="geometric", low=0.5, high=1.5), [0.0, 0.0, 0.0, 1.0]),
        (Rejection(level="sequence", low=0.5, high=7.0), [1.0, 1.0, 1.0, 1.0]),
        (Rejection(veto_below=0.61), [0.0, 0.0, 0.0, 1.0]),
        (Rejection(veto_below=0.6), [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_rejections_leave_out_but_count(rejection: Rejection, expected: list[float]) -> None:
    found = corrected([*LOG_RATIOS, 0.0], rejection=rejection, sequence=[0, 0, 0, 1])
    assert found.weights_T.tolist() == expected
    assert found.mask_T.tolist() == [1.0] * 4


def test_sequences_that_are_far_off_are_dropped_and_not_counted() -> None:
    # mean of exp|log ratio|: (1.6487 + 12.1825 + 1.2214) / 3 = 5.017, and 1
    found = corrected([*LOG_RATIOS, 0.0], rejection=Rejection(max_error=5.0), sequence=[0, 0, 0, 1])
    assert found.mask_T.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert found.metrics["mismatch/dropped_sequences"] == 1.0
    found = corrected([*LOG_RATIOS, 0.0], rejection=Rejection(max_error=5.1), sequence=[0, 0, 0, 1])
    assert found.mask_T.tolist() == [1.0] * 4


def test_weights_and_rejections_multiply() -> None:
    found = corrected(
        LOG_RATIOS,
        mismatch=Mismatch(bound="truncate", high=2.0),
        rejection=Rejection(level="token", low=0.7, high=99.0),
    )
    assert found.weights_T.tolist() == pytest.approx([0.0, 2.0, 0.8187], abs=1e-4)


def test_a_loss_without_corrections_needs_none() -> None:
    assert not is_needed(policy_loss())
    assert is_needed(policy_loss(mismatch=Mismatch(bound="none")))
    assert is_needed(policy_loss(rejection=Rejection(veto_below=1e-4)))
