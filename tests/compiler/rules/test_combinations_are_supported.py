"""RLC0512 (PAR-04, ENV-02): what the target's table of limits holds against an experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.catalogue import load_target
from tests.support.good_spec import GPU, MOE, Changes, codes, compiled

FSDP: Changes = {"train.engine.name": '"fsdp2"'}
UNPROVEN: Changes = {"model.name": '"//models:qwen3_5_4b"', "parallel.cp": "2"}


def severities(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> list[str]:
    return [d.severity for d in compiled(folder, changes, base=base).diagnostics if d.code == "RLC0512"]


def test_what_does_not_work_is_an_error_and_what_nobody_tried_a_warning(tmp_path: Path) -> None:
    assert severities(tmp_path, {**FSDP, "parallel.pp": "2"}) == ["error"]
    assert severities(tmp_path, {**FSDP, "parallel.ep": "2"}, base=MOE) == ["error"]
    assert severities(tmp_path, UNPROVEN) == ["warning"]


def test_either_setting_alone_is_fine(tmp_path: Path) -> None:
    assert severities(tmp_path, FSDP) == []
    assert severities(tmp_path, {"parallel.pp": "2"}) == []
    assert severities(tmp_path, {"parallel.ep": "2"}, base=MOE) == []


def test_a_limit_of_one_vendor_says_nothing_about_the_other(tmp_path: Path) -> None:
    amd: Changes = {"cluster.target": '"rocm"', "cluster.gpus_per_node": '"8xMI300X-192"'}
    vllm: Changes = {"rollout.engine.name": '"vllm"'}
    assert severities(tmp_path, {**amd, **vllm}) == ["warning"]
    assert severities(tmp_path, vllm) == []


def test_stages_that_agree_are_told_once(tmp_path: Path) -> None:
    stages: Changes = {"stages": '[{ name = "a" }, { name = "b" }]'}
    assert severities(tmp_path, {**FSDP, **stages, "parallel.pp": "2"}) == ["error"]


def test_an_unproven_combination_is_allowed_with_a_reason(tmp_path: Path) -> None:
    allow: Changes = {"allow": '[{ rule = "RLC0512", why = "measured last week" }]'}
    found = codes(tmp_path, {**UNPROVEN, **allow}, base=GPU)
    assert not {"RLC0512", "RLC0330", "RLC0331"} & set(found)


def test_what_the_trainers_compute_is_not_refused(tmp_path: Path) -> None:
    assert severities(tmp_path, {**FSDP, "parallel.cp": "2", "parallel.tp": "2", "parallel.sp": "true"}) == []
    descent: Changes = {"optim.name": '"sgd"', "optim.weight_decay": "0.1"}
    assert severities(tmp_path, {**FSDP, **descent}) == []
    assert severities(tmp_path, descent) == ["error"]


MEGATRON = "train.engine.megatron."


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({f"{MEGATRON}hidden_dropout": "0.1"}, GPU),
        ({f"{MEGATRON}attention_dropout": "0.1"}, GPU),
        ({f"{MEGATRON}average_in_collective": "true"}, GPU),
        ({f"{MEGATRON}overlap_param_gather": "true"}, GPU),
        ({f"{MEGATRON}use_megatron_fsdp": "true"}, GPU),
        ({f"{MEGATRON}variable_seq_lengths": "false", "parallel.pp": "2"}, GPU),
        ({f"{MEGATRON}overlap_p2p_comm": "false", "parallel.pp": "2", "parallel.vpp": "2"}, GPU),
        ({f"{MEGATRON}batch_p2p_comm": "true", "parallel.pp": "2", "parallel.vpp": "2"}, GPU),
        ({f"{MEGATRON}moe_expert_capacity_factor": "1.5", "parallel.ep": "8"}, MOE),
        (
            {
                f"{MEGATRON}moe_aux_loss_coeff": "0.001",
                f"{MEGATRON}moe_router_load_balancing_type": '"aux_loss"',
                "parallel.ep": "8",
            },
            MOE,
        ),
    ],
    ids=lambda value: "" if value in (GPU, MOE) else next(iter(value)).rpartition(".")[2],
)
def test_settings_that_make_megatron_compute_something_else_are_refused(
    tmp_path: Path, changes: Changes, base: dict[str, str]
) -> None:
    assert "error" in severities(tmp_path, changes, base=base)


@pytest.mark.parametrize("target", ["cuda", "rocm"])
def test_every_limit_says_why_and_where_from(target: str) -> None:
    limits = load_target(target).limits
    assert limits
    for limit in limits:
        assert limit.verdict in ("forbidden", "ignored", "unproven")
        assert len(limit.when) >= 2
        assert limit.why
        assert limit.source


def test_copies_within_one_engine_need_what_shares_its_gpus(tmp_path: Path) -> None:
    copies: Changes = {"rollout.engine.sglang.dp_size": "2", "placement.gpus_per_engine": "2"}
    shared: Changes = {"rollout.engine.sglang.enable_dp_attention": "true"}
    assert codes(tmp_path, copies, base=GPU) == ["RLC0512"]
    assert codes(tmp_path, {**copies, **shared}, base=GPU) == []
    assert (
        "rollout.engine.sglang.enable_dp_attention not set"
        in compiled(tmp_path, copies, base=GPU).diagnostics[0].message
    )
