"""Settings under which Megatron would compute something else without a word are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.ir.training import MultiTokenPrediction
from tests.engines.megatron.on_ranks import Case, refused
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.tiny_trainer import policy_params, tiny_families, tiny_train, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.L2

DEEP = tiny_model(num_layers=4)
PIPELINE: Changes = {"parallel.pp": "2"}
INTERLEAVED: Changes = {**PIPELINE, "parallel.vpp": "2"}
REPLAYED: Changes = {"train.routing_replay": '"trainer"', "loss.old_logprobs": '"recompute"'}
EXPERTS = tiny_families()["qwen3_moe"]


@pytest.mark.parametrize(
    ("model", "base", "setting", "value"),
    [
        (EXPERTS, {}, "moe_router_load_balancing_type", '"sinkhorn"'),
        (EXPERTS, {}, "moe_router_force_load_balancing", "true"),
        (EXPERTS, REPLAYED, "cuda_graph_impl", '"local"'),
    ],
)
def test_a_silent_trap_is_refused(
    tmp_path: Path, megatron_ranks: RunRanks, model: Any, base: Changes, setting: str, value: str
) -> None:
    path = f"train.engine.megatron.{setting}"
    launch = launch_of(tmp_path, model, {**base, path: value}, num_ranks=2)
    case = Case(launch=launch, params=policy_params(), weights=tiny_weights(model), batches=[])
    assert megatron_ranks(2, refused, case) == [("RLC0773", (path,))] * 2


@pytest.mark.parametrize(
    ("model", "base", "setting", "value"),
    [
        (DEEP, INTERLEAVED, "overlap_p2p_comm", "false"),
        (DEEP, INTERLEAVED, "batch_p2p_comm", "true"),
        (DEEP, PIPELINE, "variable_seq_lengths", "false"),
        (DEEP, {}, "hidden_dropout", "0.1"),
        (DEEP, {}, "average_in_collective", "true"),
        (EXPERTS, {}, "moe_expert_capacity_factor", "1.0"),
    ],
)
def test_a_trap_that_the_plan_alone_shows_is_refused_when_it_is_planned(
    tmp_path: Path, model: Any, base: Changes, setting: str, value: str
) -> None:
    with pytest.raises(AssertionError, match=rf"{setting} = {value} does not work"):
        launch_of(tmp_path, model, {**base, f"train.engine.megatron.{setting}": value}, num_ranks=2)


def test_groups_that_megatron_would_judge_otherwise_are_refused(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    model = tiny_families()["glm4_moe"]
    launch = launch_of(tmp_path, model, {}, num_ranks=1)
    case = Case(launch=launch, params=policy_params(), weights=tiny_weights(model), batches=[])
    assert megatron_ranks(1, refused, case) == [("RLC0773", ("model.moe.groups_per_token",))]


def test_what_is_not_computed_is_refused(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    launch = launch_of(tmp_path, DEEP, {}, num_ranks=1)
    train = tiny_train(mtp=MultiTokenPrediction())
    case = Case(launch=launch, params=policy_params(), weights=tiny_weights(DEEP), batches=[], changes={"train": train})
    assert megatron_ranks(1, refused, case) == [("RLC0772", ("train.mtp",))]


def test_a_rule_whose_state_it_could_not_save_is_refused(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    path = "train.engine.megatron.optimizer_cpu_offload"
    launch = launch_of(tmp_path, DEEP, {path: "true"}, num_ranks=1)
    case = Case(launch=launch, params=policy_params(), weights=tiny_weights(DEEP), batches=[])
    assert megatron_ranks(1, refused, case) == [("RLC0772", (path,))]
