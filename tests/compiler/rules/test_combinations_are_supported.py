"""RLC0512 (PAR-04, ENV-02): what the target's table of limits holds against an experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlc.catalogue import load_target
from tests.compiler.rules.good_spec import GPU, MOE, Changes, codes, compiled

FSDP: Changes = {"train.engine.name": '"fsdp2"'}


def severities(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> list[str]:
    return [d.severity for d in compiled(folder, changes, base=base).diagnostics if d.code == "RLC0512"]


def test_what_does_not_work_is_an_error_and_what_nobody_tried_a_warning(tmp_path: Path) -> None:
    assert severities(tmp_path, {**FSDP, "parallel.pp": "2"}) == ["error"]
    assert severities(tmp_path, {**FSDP, "parallel.ep": "2"}, base=MOE) == ["warning"]


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
    found = codes(tmp_path, {**FSDP, **allow, "parallel.ep": "2"}, base=MOE)
    assert not {"RLC0512", "RLC0330", "RLC0331"} & set(found)


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
