"""The order of actions of a run, held against that of the simulator: both follow compiler.ir.schedules."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.schedules import loop as schedule
from compiler.ir.schedules.loop import Action, Loop
from compiler.ir.schedules.order_of_stage import order_of
from compiler.planner.simulate.draws import length_table
from compiler.planner.simulate.pace import Fleet, Pace, Training
from compiler.planner.simulate.run import simulate
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from runtime.schedules import sync
from runtime.schedules.sync import PolicySchedule
from runtime.schedules.trained import Sampling
from runtime.stage_job import StageJob
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = pytest.mark.torch
STEPS = 4
PACE = Pace(
    fleet=Fleet(engines=1, gpus_per_engine=1, places=16, step_s=(0.1,) * 17),
    training=Training(gpus=1, nodes=1, seconds=1.0, sync_s=1.0),
    lengths=length_table(3.0, 3.0, 0.0),
    samples_per_group=4,
)


def _ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a stage of four steps without any evaluation, and return what it did."""
    _, grpo_stage, grpo = SPEC.partition('[[stages]]\nname = "grpo"')
    head = SPEC.partition("[[eval.sets]]")[0]
    spec = head + grpo_stage + grpo.replace("eval.interval = 3\n", "").replace("max_steps = 8", f"max_steps = {STEPS}")
    compiled = compile_spec(write_experiment(tmp_path, spec=spec), scan())
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    done: list[str] = []
    sends, samples, trains = StageJob.sync, PolicySchedule._sampling, sync.trained

    def send(job: StageJob) -> float:
        done.append("Send")
        return sends(job)

    async def sample(self: PolicySchedule, job: StageJob) -> object:
        done.append("Begin")
        return await samples(self, job)

    async def train(job: StageJob, sampling: Sampling) -> dict[str, float]:
        done.append("Train")
        return await trains(job, sampling)

    monkeypatch.setattr(StageJob, "sync", send)
    monkeypatch.setattr(PolicySchedule, "_sampling", sample)
    monkeypatch.setattr(sync, "trained", train)
    run_plan(compiled.plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO()))
    order = order_of(compiled.plan.experiment.stages[0])
    assert order is not None
    events: list[str] = []
    simulate(order, PACE, observe=lambda seconds, action: events.append(type(action).__name__))
    assert events == [*done, "End"]
    return done


def test_a_run_does_what_the_simulator_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _ran(tmp_path, monkeypatch) == ["Send", "Begin", "Train"] * STEPS


def test_a_changed_schedule_changes_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    due = schedule.due

    def with_weights_at_every_second_step(now: Loop) -> tuple[Action, ...]:
        return due(now._replace(sent=now.trained) if now.trained % 2 and now.sent >= 0 else now)

    monkeypatch.setattr(schedule, "due", with_weights_at_every_second_step)
    assert _ran(tmp_path, monkeypatch) == ["Send", "Begin", "Train", "Begin", "Train"] * (STEPS // 2)
