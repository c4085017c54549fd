"""What is said of a simulation: every figure that was found, with its unit."""

from __future__ import annotations

from compiler.emit.simulation_page import simulation_json, simulation_rows
from compiler.planner.simulate.outcome import Outcome, quantiles

FOUND = Outcome(
    steps=100,
    seconds=9000.0,
    step_s=quantiles([80.0] * 89 + [100.0] * 10 + [1000.0]),
    staleness={0: 100, 1: 300},
    trainer_idle_frac=0.25,
    rollout_idle_frac=0.125,
    trainer_failures=1,
    engine_failures=2,
    lost_steps=7,
    lost_tokens=2.5e6,
    left_out_tokens=0.0,
    tokens=9e9,
    queue_s=0.0,
    gpus=1000,
    gpu_hours=2500.0,
    lost_gpu_hours=50.0,
)


def test_a_person_reads_what_was_found() -> None:
    assert dict(simulation_rows(FOUND, {"seed": 3, "schedule": "async"})) == {
        "steps": "100 in 2.5 h",
        "step": "mean 91.2 s, p50 80 s, p90 100 s, p99 100 s, longest 16.7 min",
        "tokens": "9B trained on, 1,000 per second and GPU",
        "staleness": "0 behind: 25.0%, 1 behind: 75.0%",
        "idle": "trainer 25.0%, engines 12.5%",
        "failures": "1 of the trainer, 2 of engines; 7 steps and 2.5M tokens lost",
        "GPU hours": "2,500.0 on 1,000 GPUs, 50.0 of them lost (2.00%)",
        "assumed": "seed 3, schedule async",
    }


def test_a_tool_reads_every_field() -> None:
    found = simulation_json(FOUND, {"seed": 3})
    assert found.keys() == {*Outcome._fields, "assumed"}
    assert found["staleness"] == {"0": 100, "1": 300}
    assert found["step_s"] == {"mean": 91.2, "p50": 80.0, "p90": 100.0, "p99": 100.0, "most": 1000.0}
