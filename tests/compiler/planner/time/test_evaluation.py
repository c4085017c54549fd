"""Evaluations in the forecast of a run: how often, what each takes, and that GPU hours have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.data import Measurement
from compiler.ir.openness import OFF, Off
from compiler.ir.plan import StageTime
from compiler.planner.time.evaluation import times_evaluated
from tests.support.good_spec import GPU, Changes, compiled

SETS = '[{ name = "held", path = "held.jsonl", max_prompts = %d }]'
EVERY_TEN: Changes = {"eval.sets": SETS % 64, "eval.interval": "10", "run.max_steps": "100"}


def time_of(folder: Path, changes: Changes) -> StageTime:
    (folder / "held.jsonl").write_text('{"prompt": "1 + 1 = ", "label": "2"}\n', encoding="utf-8")
    found = compiled(folder, changes, base=GPU)
    assert found.plan is not None, [one.message for one in found.diagnostics]
    time = found.plan.forecast.stages[0].time
    assert not isinstance(time, Off)
    return time


@pytest.mark.parametrize(
    ("interval", "at_start", "steps", "times"),
    [(10, True, 100, 11), (10, False, 100, 10), (10, True, 101, 12), (OFF, True, 100, 2), (OFF, False, 5, 1)],
)
def test_a_stage_is_evaluated_at_its_start_every_so_many_steps_and_at_its_end(
    interval: int | Off, at_start: bool, steps: int, times: int
) -> None:
    assert times_evaluated(Measurement(interval=interval, at_start=at_start), steps) == times


def test_gpu_hours_are_those_of_steps_and_of_evaluations(tmp_path: Path) -> None:
    time = time_of(tmp_path, EVERY_TEN)
    assert time.evaluations == 11
    seconds = 100 * time.step_seconds + 11 * time.evaluation_seconds
    assert time.gpu_hours == pytest.approx(seconds * 8 / 3600, rel=2e-3)


def test_more_prompts_take_longer_and_prompts_that_nobody_counts_take_nothing(tmp_path: Path) -> None:
    few, many = (
        time_of(tmp_path, {**EVERY_TEN, "eval.sets": SETS % prompts}).evaluation_seconds for prompts in (64, 6400)
    )
    assert 0 < few < many
    unknown: Changes = {**EVERY_TEN, "eval.sets": '[{ name = "held", path = "held.jsonl" }]'}
    assert time_of(tmp_path, unknown).evaluations == 0


def test_a_stage_that_trains_on_a_recording_wakes_its_engines_to_be_evaluated(tmp_path: Path) -> None:
    """They take memory, and so time: of a handover, and of making room for it."""
    replayed: Changes = {**EVERY_TEN, "debug.mode": '"train_only"', "debug.replay": '"runs/a"'}
    sampled, trained = time_of(tmp_path, EVERY_TEN), time_of(tmp_path, replayed)
    between = {phase.name: phase.seconds for phase in sampled.phases}
    more = between["swap to host"] + between["weight sync"]
    assert trained.evaluation_seconds - sampled.evaluation_seconds == pytest.approx(more, rel=5e-3)
