"""RLC0504 (PLACE-01): roles that do not share need a device each, one process needs one machine."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.rules.good_spec import codes


def test_sharing_one_device_is_fine_and_splitting_it_is_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {"placement.mode": '"colocate"'}) == []
    assert codes(tmp_path, {"placement.mode": '"split"'}) == ["RLC0504"]


def test_one_machine_is_enough_for_one_process(tmp_path: Path) -> None:
    assert codes(tmp_path, {"cluster.nodes": "1"}) == []
    assert codes(tmp_path, {"cluster.nodes": "2"}) == ["RLC0504"]
