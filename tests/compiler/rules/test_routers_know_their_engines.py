"""RLC0545: a router is in front of engines that it speaks to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, ROWS, Changes, codes

ROUTER: Changes = {"placement.router.policy": '"power_of_two"'}
PAIRS: Changes = {"placement.disaggregation.prefill_engines": "2"}
VLLM: Changes = {"rollout.engine.name": '"vllm"'}


def test_a_router_in_front_of_sglang_passes(tmp_path: Path) -> None:
    assert codes(tmp_path, ROUTER, base=GPU) == []


@pytest.mark.parametrize("asked", [ROUTER, {**PAIRS, "placement.mode": '"split"', "placement.train_gpus": "4"}])
def test_vllm_is_not_spoken_to(tmp_path: Path, asked: Changes) -> None:
    assert codes(tmp_path, {**asked, **VLLM}, base=GPU) == ["RLC0545"]


def test_there_is_nothing_to_route_where_nothing_is_sampled(tmp_path: Path) -> None:
    assert codes(tmp_path, ROUTER, base=ROWS) == ["RLC0545"]
