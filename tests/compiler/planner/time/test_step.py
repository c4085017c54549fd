"""A step of a compiled experiment: which phases it has, how they add up, and when nothing is forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import OFF, Off
from compiler.ir.plan import StageTime
from compiler.ir.timeouts import Timeouts
from tests.support.good_spec import GPU, MOE, ROWS, Changes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4", "placement.rollout_gpus": "4"}


def time_of(folder: Path, changes: Changes | None = None, base: dict[str, str] = GPU) -> StageTime | Off:
    plan = compiled(folder, changes or {}, base=base).plan
    assert plan is not None
    return plan.forecast.stages[0].time


def known(folder: Path, changes: Changes | None = None) -> StageTime:
    time = time_of(folder, changes)
    assert isinstance(time, StageTime)
    return time


def test_shared_gpus_go_through_one_phase_after_the_other(tmp_path: Path) -> None:
    time = known(tmp_path)
    assert [phase.name for phase in time.phases] == ["rollout", "swap to host", "make batch", "train", "weight sync"]
    assert {phase.side for phase in time.phases} == {"both"}
    assert time.step_seconds == pytest.approx(sum(phase.seconds for phase in time.phases), rel=1e-3)


def test_a_step_that_is_taken_apart_takes_the_time_of_what_is_left(tmp_path: Path) -> None:
    whole = {phase.name: phase.seconds for phase in known(tmp_path).phases}
    sampled = known(tmp_path, {"debug.mode": '"rollout_only"'})
    assert {phase.name: phase.seconds for phase in sampled.phases} == {"rollout": whole["rollout"]}
    assert sampled.mfu == 0
    trained = known(tmp_path, {"debug.mode": '"train_only"', "debug.replay": '"runs/a"'})
    assert {phase.name: phase.seconds for phase in trained.phases} == {"train": whole["train"]}
    assert trained.mfu == known(tmp_path).mfu


def test_a_batch_that_does_not_come_out_even_is_said_and_nothing_is_forecast(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"train.global_batch": "100"}, base=GPU)
    assert "RLC0301" in [diagnostic.code for diagnostic in found.diagnostics]


def test_experts_fewer_than_a_token_visits_are_said(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"model.moe.num_experts": "4", "parallel.ep": "4"}, base=MOE)
    assert found.plan is None
    assert found.diagnostics


def test_split_gpus_that_wait_for_one_another_take_the_sum(tmp_path: Path) -> None:
    time = known(tmp_path, SPLIT)
    assert not time.overlaps
    assert time.step_seconds == pytest.approx(sum(phase.seconds for phase in time.phases), rel=1e-3)


def test_an_async_step_takes_as_long_as_its_longer_side(tmp_path: Path) -> None:
    time = known(tmp_path, {**SPLIT, "schedule.mode": '"async"'})
    seconds = {phase.name: phase.seconds for phase in time.phases}
    assert time.overlaps
    assert time.step_seconds == pytest.approx(
        max(seconds["rollout"], seconds["make batch"] + seconds["train"]) + seconds["weight sync"], rel=1e-3
    )


def test_log_probs_are_taken_where_the_loss_asks_for_them(tmp_path: Path) -> None:
    names = [phase.name for phase in known(tmp_path, {"loss.old_logprobs": '"recompute"'}).phases]
    assert "log-probs" in names


def test_a_reference_waits_in_host_memory_and_changes_places_with_the_policy(tmp_path: Path) -> None:
    """Beside its pass: weights of 2 bytes go at 2.6 GB/s, the others come at 5.7 GB/s, and they come back."""
    asked: Changes = {"loss.old_logprobs": '"recompute"'}
    with_reference: Changes = {**asked, "loss.kl.estimator": '"k3"'}
    one, two = (
        next(phase.seconds for phase in known(tmp_path, changes).phases if phase.name == "log-probs")
        for changes in (asked, with_reference)
    )
    plan = compiled(tmp_path, with_reference, base=GPU).plan
    assert plan is not None
    weights = plan.forecast.weight_bytes / 1e9
    assert two - 2 * one == pytest.approx(weights * (1 / 2.6 + 2 / 5.7), rel=5e-3)


@pytest.mark.parametrize(
    "told",
    [
        {"speculative_algorithm": '"NEXTN"', "speculative_num_steps": "1"},
        {"speculative_config": """'{"method": "mtp", "num_speculative_tokens": 1}'"""},
    ],
)
def test_what_an_engine_is_told_to_draft_saves_time(tmp_path: Path, told: dict[str, str]) -> None:
    engine = "vllm" if "speculative_config" in told else "sglang"
    chosen: Changes = {"rollout.engine.name": f'"{engine}"'}
    plain = known(tmp_path, chosen).phases[0].seconds
    drafted: Changes = {**chosen, **{f"rollout.engine.{engine}.{key}": value for key, value in told.items()}}
    assert 1.2 < plain / known(tmp_path, drafted).phases[0].seconds < 1.7


def test_a_reward_that_takes_longer_than_sampling_is_waited_for_in_its_queue(tmp_path: Path) -> None:
    """The last call of all, and what a queue of 64 at once has left when the last response is done."""
    plain = known(tmp_path)
    seconds = 2 * plain.phases[0].seconds
    changes: Changes = {"reward.expected_call_s": str(seconds), "reward.concurrency": "64"}
    time = known(tmp_path, changes)
    waited = {phase.name: phase.seconds for phase in time.phases}["rewards"]
    calls = 32 * 8
    assert waited == pytest.approx(seconds + calls * seconds / 64 - plain.phases[0].seconds, rel=1e-2)
    assert time.step_seconds == pytest.approx(plain.step_seconds + waited, rel=1e-2)


def test_turns_of_an_environment_follow_one_another(tmp_path: Path) -> None:
    """Two waits of three seconds between three turns, where calls do not queue."""
    changes: Changes = {
        "environment.name": '"tools"',
        "environment.tools": '[{ name = "calculator" }]',
        "environment.concurrency": "100000",
        "environment.expected_turns": "3",
        "environment.expected_turn_s": "3.0",
    }
    assert {phase.name: phase.seconds for phase in known(tmp_path, changes).phases}["environment"] == 6


def test_shorter_responses_than_expected_take_less_time(tmp_path: Path) -> None:
    most = known(tmp_path).step_seconds
    less = known(tmp_path, {"rollout.expected_response_tokens": "8"}).step_seconds
    assert less < most


def test_a_longer_tail_takes_more_time(tmp_path: Path) -> None:
    mean: Changes = {"rollout.max_response_tokens": "1024", "rollout.expected_response_tokens": "100"}
    short = known(tmp_path, {**mean, "rollout.expected_p90_response_tokens": "110"}).phases[0].seconds
    long = known(tmp_path, {**mean, "rollout.expected_p90_response_tokens": "200"}).phases[0].seconds
    assert short < long


def test_a_price_makes_a_cost_of_the_hours(tmp_path: Path) -> None:
    plain, priced = known(tmp_path), known(tmp_path, {"cluster.usd_per_gpu_hour": "2.5"})
    assert plain.usd == OFF
    assert priced.usd == pytest.approx(2.5 * priced.gpu_hours, rel=1e-3)


def test_what_is_forecast_of_time_is_no_part_of_the_identity_of_a_plan(tmp_path: Path) -> None:
    nothing: Changes = {}
    expected: Changes = {"rollout.expected_response_tokens": "8", "cluster.usd_per_gpu_hour": "3"}
    plans = [compiled(tmp_path, changes, base=GPU).plan for changes in (nothing, expected)]
    hashes = {plan.hash for plan in plans if plan is not None}
    assert len(hashes) == 1


def test_nothing_is_forecast_of_a_cpu(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {}).plan
    assert plan is not None
    assert plan.forecast.stages[0].time == OFF


def test_a_partial_rollout_waits_for_no_tail(tmp_path: Path) -> None:
    """What is unfinished goes on in the next step, so that engines are as full as they are on average."""
    tail: Changes = {"rollout.max_response_tokens": "8192", "rollout.expected_response_tokens": "500"}
    partial: Changes = {
        "rollout.buffer.partial": "true",
        "rollout.buffer.max_staleness_steps": '"off"',
        "rollout.buffer.oversample": "1.5",
    }
    whole = known(tmp_path, tail).phases[0].seconds
    assert known(tmp_path, {**tail, **partial}).phases[0].seconds < 0.7 * whole


def test_of_rows_nothing_is_forecast_unless_their_length_is_expected(tmp_path: Path) -> None:
    assert time_of(tmp_path, base=ROWS) == OFF
    assert isinstance(time_of(tmp_path, {"data.expected_sample_tokens": "900"}, base=ROWS), StageTime)


def test_a_step_on_rows_trains_on_as_many_tokens_as_are_expected(tmp_path: Path) -> None:
    """Without sampling there is one phase; its tokens are the batch times the mean."""
    time = time_of(tmp_path, {"data.expected_sample_tokens": "900"}, base=ROWS)
    assert isinstance(time, StageTime)
    assert [phase.name for phase in time.phases] == ["train"]
    assert time.tokens_per_s * time.step_seconds == pytest.approx(256 * 900, rel=2e-3)


def test_a_wait_for_generation_outlasts_a_batch_and_not_only_its_share_of_a_step(tmp_path: Path) -> None:
    """With a bound of several versions a batch takes several steps, and its limit is that of the batch."""
    long: Changes = {
        **SPLIT,
        "schedule.mode": '"async"',
        "schedule.max_staleness": "3",
        "rollout.prompts_per_step": "4",
        "train.global_batch": "32",
        "rollout.expected_response_tokens": "2000",
    }
    plan = compiled(tmp_path, {**long, "rollout.max_response_tokens": '"32Ki"'}, base=GPU).plan
    assert plan is not None
    time, timeouts = plan.forecast.stages[0].time, plan.experiment.timeouts
    assert isinstance(time, StageTime)
    assert isinstance(timeouts, Timeouts)
    assert timeouts.generation_s > 1.5 * timeouts.factor * time.phases[0].seconds
