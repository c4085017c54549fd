"""RLC0547: the router has a port of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes

SPLIT: Changes = {"cluster.nodes": "2", "placement.mode": '"split"', "placement.train_gpus": "8"}


@pytest.mark.parametrize("port", [12000, 13000, 13998, 14001, 14998, 15512])
def test_a_free_port_passes(tmp_path: Path, port: int) -> None:
    assert codes(tmp_path, {"placement.router.port": str(port)}, base=GPU) == []


@pytest.mark.parametrize("port", [13999, 14000, 14999, 15000, 15511, 19999, 29999, 6379, 8089])
def test_a_port_of_an_engine_the_trainer_or_ray_is_refused(tmp_path: Path, port: int) -> None:
    assert codes(tmp_path, {"placement.router.port": str(port)}, base=GPU) == ["RLC0547"]


def test_engines_of_another_machine_are_in_nobodys_way(tmp_path: Path) -> None:
    assert codes(tmp_path, {**SPLIT, "placement.router.port": "15000"}, base=GPU) == []
