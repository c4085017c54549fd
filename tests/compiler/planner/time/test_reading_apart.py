"""Engines that read prompts for others: they do so meanwhile, and the slower kind decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.search.choose import timed
from compiler.planner.search.judge import stage_of
from compiler.planner.simulate.pace import NONE
from compiler.planner.simulate.plan_pace import Beside
from compiler.planner.time.constants import RATES
from compiler.planner.time.experiment_facts import step_job
from compiler.planner.time.rollout import prefill_seconds
from compiler.planner.time.step import Sampling, sampling_seconds
from rlc.catalogue import load_hardware, scan
from rlc.simulating import Line, simulate_stage
from tests.support.good_spec import Changes
from tests.support.left_out import problem

SPEC = Path("experiments/grpo_qwen3_8b_async.toml")
PAIRS = ("placement.disaggregation.prefill_engines=2",)


def sampling(*overrides: str) -> Sampling:
    plan = compile_spec(SPEC, scan(), overrides=overrides).plan
    assert plan is not None
    stage = plan.experiment.stages[0]
    job = step_job(plan.experiment, stage, load_hardware()["H100-80-SXM"])
    assert job is not None
    assert job.sampling is not None
    return job.sampling._replace(lag=0)


def test_a_prompt_is_read_where_it_is_read_and_nowhere_else() -> None:
    apart, alike = sampling(*PAIRS), sampling()
    assert (apart.engines, apart.readers, alike.engines) == (6, 2, 8)
    assert apart.reader is not None
    assert alike.reader is None
    whole, none = sampling_seconds(apart, RATES), sampling_seconds(apart._replace(prompt=0.0), RATES)
    first = prefill_seconds(apart.reader, apart.prompt, apart.prompt, RATES)
    decoded = sampling_seconds(apart._replace(reader=None, group=1e12), RATES)
    assert none.batch < whole.batch
    assert whole.batch == pytest.approx(decoded.batch + first, rel=1e-6)
    upper = sampling_seconds(apart._replace(reader=None), RATES)
    assert whole.batch < upper.batch


def test_where_prompts_are_long_and_responses_short_reading_decides() -> None:
    one = sampling(*PAIRS)._replace(group=1, prompt=200_000.0)
    assert one.reader is not None
    read = prefill_seconds(one.reader, one.samples / 2 * one.prompt, one.prompt, RATES)
    found = sampling_seconds(one._replace(lengths=one.lengths._replace(mean=8.0, longest=16.0)), RATES)
    assert found.busy == pytest.approx(read)
    assert read < found.batch < 1.05 * read
    halves = sampling_seconds(one._replace(readers=4, lengths=one.lengths._replace(mean=8.0, longest=16.0)), RATES)
    assert halves.busy == pytest.approx(read / 2)


def test_the_simulator_draws_what_the_forecast_says() -> None:
    text = [*PAIRS, "schedule.max_staleness=2"]
    plan = compile_spec(SPEC, scan(), overrides=text).plan
    assert plan is not None
    time = plan.forecast.stages[0].time
    found = simulate_stage(plan.experiment, Line(None, 30, 0), NONE, Beside()).outcome
    assert found.step_s.mean == pytest.approx(time.__dict__["step_seconds"], rel=0.15)
    assert found.gpus == 16


@pytest.mark.parametrize("of_prefill", [{}, {"placement.disaggregation.prefill_gpus_per_engine": "1"}])
def test_a_search_counts_engines_as_the_plan_does(tmp_path: Path, of_prefill: Changes) -> None:
    changes: Changes = {
        "placement.mode": '"split"',
        "placement.disaggregation.prefill_engines": "2",
        "placement.train_gpus": "2",
        "placement.gpus_per_engine": "2",
        "rollout.max_prompt_tokens": '"1Ki"',
        **of_prefill,
    }
    written = problem(tmp_path, changes, open_names=frozenset())
    (facts,) = written.stages
    job = stage_of(written, facts, written.base)
    own = stage_job(written.experiment, facts.stage, written.gpu)
    assert own is not None
    assert own.reader is not None
    assert (job.engine, job.reader) == (own.engine, own.reader)
    assert own.reader.gpus == (1 if of_prefill else 2)
    moved = problem(tmp_path, {**changes, "placement.gpus_per_engine": "1"})
    candidate = written.base._replace(gpus_per_engine=1)
    shared = moved._replace(open=frozenset({"gpus_per_engine"}))
    again = stage_of(shared, moved.stages[0], candidate)
    assert (again.engine, again.reader) == (moved.stages[0].job.engine, moved.stages[0].job.reader)
    assert timed(shared, candidate).rollout_s == pytest.approx(timed(moved, moved.base).rollout_s)
