"""The gap between engine and trainer, and the alarm of it."""

from __future__ import annotations

import math
from typing import Any, Never, cast

import pytest
import torch

from compiler.ir.debug import Debug, LogprobGap
from compiler.ir.experiment import Stage
from compiler.ir.openness import OFF, Off
from runtime.logprob_gap import GapMeter, alarm
from runtime.progress import Progress

pytestmark = pytest.mark.torch


class StageOf:
    """What the alarm reads of a stage."""

    name = "main"

    def __init__(self, **settings: Any) -> None:
        self.debug: Debug | Off = Debug(logprob_gap=LogprobGap(**settings))


def told(stage: StageOf, *means: float) -> list[str]:
    """Return what is said after each of several steps: nothing, or how severe it is."""
    progress = Progress(plan_hash="")
    found = (
        alarm(cast("Stage[Never]", stage), progress, {"train/logprob_gap": mean, "train/logprob_gap_max": 9.0})
        for mean in means
    )
    return ["" if said is None else said.severity for said in found]


def test_four_tokens_by_hand() -> None:
    meter = GapMeter(0.5)
    trainer = torch.tensor([-1.0, -2.0, -3.0, -4.0])
    rollout = torch.tensor([-1.0, -2.25, -2.0, -9.0])
    meter.add(trainer, rollout, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert meter.metrics() == pytest.approx(
        {
            "train/logprob_gap": 1.25 / 3,
            "train/logprob_gap_max": 1.0,
            "train/logprob_gap_k1": 0.75 / 3,
            "train/logprob_gap_k3": (math.exp(0.25) - 1.25 + math.exp(-1.0)) / 3,
            "train/logprob_gap_beyond_frac": 1 / 3,
        }
    )


def test_micro_batches_add_up() -> None:
    trainer, rollout = -torch.rand(7), -torch.rand(7)
    compared = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    whole, cut = GapMeter(0.3), GapMeter(0.3)
    whole.add(trainer, rollout, compared)
    for part in (slice(0, 2), slice(2, 3), slice(3, 7)):
        cut.add(trainer[part], rollout[part], compared[part])
    assert cut.metrics() == pytest.approx(whole.metrics())


def test_without_a_token_there_is_no_gap() -> None:
    meter = GapMeter(0.5)
    meter.add(torch.zeros(2), torch.ones(2), torch.zeros(2))
    assert meter.metrics() == {}


def test_without_a_bound_no_token_is_beyond_it() -> None:
    meter = GapMeter(None)
    meter.add(torch.zeros(2), torch.ones(2), torch.ones(2))
    assert "train/logprob_gap_beyond_frac" not in meter.metrics()


def test_the_alarm_speaks_at_the_third_wide_step_in_a_row_and_once() -> None:
    stage = StageOf(mean_bound=0.1, steps=3)
    assert told(stage, 0.2, 0.2, 0.1, 0.2, 0.2, 0.2, 0.2, 0.0, 0.2, 0.2, 0.2) == (
        ["", "", "", "", "", "warning", "", "", "", "", "warning"]
    )


def test_a_gap_that_is_no_number_is_wide() -> None:
    assert told(StageOf(steps=1), math.nan) == ["warning"]


def test_the_alarm_may_end_the_run() -> None:
    assert told(StageOf(steps=2, action="stop"), 0.2, 0.2) == ["", "error"]


def test_a_step_that_compares_nothing_neither_counts_nor_ends_a_row() -> None:
    stage, progress = cast("Stage[Never]", StageOf(steps=2)), Progress(plan_hash="")
    wide, other = {"train/logprob_gap": 0.2, "train/logprob_gap_max": 0.2}, {"critic/loss": 1.0}
    assert [alarm(stage, progress, row) is None for row in (wide, other, wide)] == [True, True, False]


def test_an_alarm_that_is_off_says_nothing() -> None:
    stage = StageOf()
    stage.debug = Debug(logprob_gap=OFF)
    assert told(stage, 9.0, 9.0, 9.0, 9.0) == [""] * 4
