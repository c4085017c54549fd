"""The phases of compiled experiments: who holds what, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.engine import EngineJob, engine_lines, weight_lines
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.phases import HOST, ROLLOUT, SHARED, TRAINING, Phase, StageJob, fullest, phases_of
from compiler.planner.parameters import count_parameters
from compiler.planner.weight_formats import weight_format
from rlc.catalogue import scan
from rlc.models import read_model
from tests.support.good_spec import GPU, MOE, Changes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4", "placement.rollout_gpus": "4"}
HARDWARE = scan().load_hardware()


def job(folder: Path, changes: Changes, base: dict[str, str] = GPU) -> StageJob:
    plan = compiled(folder, changes, base=base).plan
    assert plan is not None
    experiment = plan.experiment
    assert isinstance(experiment.cluster.gpu, str)
    found = stage_job(experiment, experiment.stages[0], HARDWARE[experiment.cluster.gpu])
    assert found is not None
    return found


def phases(folder: Path, changes: Changes, base: dict[str, str] = GPU) -> tuple[Phase, ...]:
    return phases_of(job(folder, changes, base), CONSTANTS)


def lines(found: tuple[Phase, ...], name: str, device: str = SHARED) -> dict[str, float]:
    (phase,) = (one for one in found if (one.name, one.device) == (name, device))
    return {line.name: line.bytes for line in phase.lines}


def train_peak(folder: Path, changes: Changes, base: dict[str, str] = GPU) -> float:
    (phase,) = (one for one in phases(folder, changes, base) if one.name == "train")
    return phase.bytes


def test_a_shared_gpu_goes_through_all_phases(tmp_path: Path) -> None:
    found = phases(tmp_path, {"loss.old_logprobs": '"recompute"'})
    names = ["rollout", "handoff", "log-probs", "train", "weight sync", "checkpoint", "host"]
    assert [phase.name for phase in found] == names
    assert {phase.device for phase in found} == {SHARED, HOST}


def test_a_step_that_only_samples_keeps_nothing_of_training_but_the_weights(tmp_path: Path) -> None:
    found = phases(tmp_path, {"debug.mode": '"rollout_only"'})
    assert [phase.name for phase in found] == ["rollout", "weight sync", "host"]
    whole = phases(tmp_path, {})
    assert lines(found, "rollout") == lines(whole, "rollout")
    assert lines(found, "weight sync") == lines(whole, "weight sync")
    assert set(lines(found, "host", HOST)) == {"processes", "pinned weights", "samples that wait"}


def test_a_step_on_a_recording_has_no_engine_unless_an_evaluation_samples(tmp_path: Path) -> None:
    recorded: Changes = {**SPLIT, "debug.mode": '"train_only"', "debug.replay": '"runs/a"'}
    found = phases(tmp_path, recorded)
    assert [phase.name for phase in found] == ["train", "checkpoint", "host"]
    assert "pinned weights" not in lines(found, "host", HOST)
    evaluated = {**recorded, "eval.sets": '[{ name = "a", path = "a.jsonl" }]'}
    assert [phase.name for phase in phases(tmp_path, evaluated)] == [phase.name for phase in phases(tmp_path, SPLIT)]


def test_split_gpus_hold_one_side_each(tmp_path: Path) -> None:
    found = phases(tmp_path, SPLIT)
    assert [phase.device for phase in found if phase.name == "weight sync"] == [TRAINING, ROLLOUT]
    assert "weights" not in lines(found, "rollout", ROLLOUT)
    assert "engine weights" not in lines(found, "train", TRAINING)
    assert fullest(found, SHARED) is None


def test_both_sets_of_weights_meet_at_the_sync_and_the_optimizer_is_elsewhere(tmp_path: Path) -> None:
    found = phases(tmp_path, {"placement.gpus_per_engine": "2"})
    sync, handoff = lines(found, "weight sync"), lines(found, "handoff")
    assert sync["weights"] == handoff["weights"]
    assert sync["engine weights"] == lines(found, "rollout")["engine weights"]
    assert "optimizer moments" not in sync
    assert "engine weights" not in handoff
    assert {"trainer's context", "engine's context"} <= set(sync) & set(handoff) & set(lines(found, "rollout"))


def test_what_is_paused_waits_in_host_memory(tmp_path: Path) -> None:
    found = phases(tmp_path, {})
    gpu, host = lines(found, "handoff"), lines(found, "host", HOST)
    assert host["paused optimizer"] == pytest.approx(8 * (gpu["master weights"] + gpu["optimizer moments"]))
    assert host["pinned weights"] == pytest.approx(8 * gpu["weights"])
    assert "paused optimizer" not in lines(phases(tmp_path, SPLIT), "host", HOST)


def test_samples_wait_for_as_many_steps_as_they_may_be_stale(tmp_path: Path) -> None:
    asynchronous: Changes = {**SPLIT, "schedule.mode": '"async"', "schedule.max_staleness": "3"}
    waiting = [job(tmp_path, changes).buffer_bytes for changes in (SPLIT, asynchronous)]
    assert waiting[1] == 4 * waiting[0]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, (2, 4, 8)),
        ({"grad_reduce_in_fp32": "true"}, (4, 4, 8)),
        (
            {
                "use_precision_aware_optimizer": "true",
                "exp_avg_dtype": '"bf16"',
                "exp_avg_sq_dtype": '"fp8"',
                "main_params_dtype": '"fp16"',
            },
            (2, 2, 3),
        ),
    ],
)
def test_formats_of_the_optimizer_are_those_of_megatrons_settings(
    tmp_path: Path, settings: dict[str, str], kept: tuple[int, int, int]
) -> None:
    storage = job(tmp_path, {f"train.engine.megatron.{key}": value for key, value in settings.items()}).job.storage
    assert (storage.gradient, storage.master, storage.moments) == kept


def test_an_offloaded_optimizer_moves_to_the_host(tmp_path: Path) -> None:
    offloaded = phases(
        tmp_path,
        {
            "train.engine.megatron.optimizer_cpu_offload": "true",
            "train.engine.megatron.use_precision_aware_optimizer": "true",
        },
    )
    assert "optimizer moments" not in lines(offloaded, "train")
    assert lines(offloaded, "host", HOST)["offloaded optimizer"] > 0


@pytest.mark.parametrize(
    "less",
    [
        {"train.engine.megatron.recompute_granularity": '"selective"',
         "train.engine.megatron.recompute_modules": '["layernorm"]'},
        {"train.engine.megatron.recompute_granularity": '"full"',
         "train.engine.megatron.recompute_method": '"uniform"',
         "train.engine.megatron.recompute_num_layers": "1"},
        {"parallel.tp": "4"},
        {"parallel.cp": "2"},
        {"train.packing.tokens": '"8Ki"'},
        {"train.vocab_chunk": "1024"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("base", [GPU, MOE])
def test_what_people_turn_to_lowers_the_peak(tmp_path: Path, less: Changes, base: dict[str, str]) -> None:
    more: Changes = {
        "parallel.tp": "2",
        "train.vocab_chunk": "151936",
        "train.packing.tokens": '"16Ki"',
        "rollout.max_context_tokens": '"4Ki"',
        "cluster.gpus_per_node": '"8xMI300X-192"',
        "cluster.target": '"rocm"',
    }
    if base is MOE:
        more |= {"parallel.ep": "4", "train.routing_replay": '"trainer"', "loss.old_logprobs": '"recompute"'}
    assert train_peak(tmp_path, {**more, **less}, base) <= train_peak(tmp_path, more, base)


def engine(name: str, *, gpus: int = 4, context: int = 4096) -> EngineJob:
    facts = read_model(name, scan()).facts
    return EngineJob(model=facts, gpus=gpus, sequences=64, context=context, pool_bytes=64 * GIB)


@pytest.mark.parametrize("name", ["qwen3_8b", "qwen3_30b_a3b", "deepseek_v3"])
def test_an_engine_splits_its_weights_and_eight_bits_halve_its_matrices(name: str) -> None:
    """Norms, routers and narrow projections of latent attention are whole on each GPU: up to 3 %."""
    model = engine(name)
    even = 2 * count_parameters(model.model) / 4
    assert even <= total(weight_lines(model)) < 1.03 * even
    assert 0.5 < total(weight_lines(model._replace(weights=weight_format("fp8")))) / total(weight_lines(model)) < 0.62


def test_a_given_share_is_filled_with_cache_and_another_only_as_needed() -> None:
    def cache(one: EngineJob) -> float:
        return next(line.bytes for line in engine_lines(one, CONSTANTS) if line.name == "KV cache")

    one = engine("qwen3_8b")
    wanted = 64 * 4096 * 147_456 / 4
    assert cache(one) == pytest.approx(wanted)
    assert cache(one._replace(is_pool_given=True)) == pytest.approx(64 * GIB - total(weight_lines(one)))
    assert cache(one._replace(cache_bytes=1)) == pytest.approx(wanted / 2)
    latent = engine("deepseek_v3", gpus=32)
    assert cache(latent) == pytest.approx(64 * 4096 * 70_272), "one vector, whole on every GPU"


def test_a_gated_delta_net_keeps_a_state_that_does_not_grow() -> None:
    short, long = (engine("qwen3_next_80b_a3b", context=context) for context in (1024, 8192))

    def states(one: EngineJob) -> float:
        return next(line.bytes for line in engine_lines(one, CONSTANTS) if line.name == "recurrent states")

    assert states(short) == states(long) > 0
