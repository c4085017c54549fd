"""RLC0504 (PLACE-01): roles that do not share need a device each, one process needs one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, compiled


def test_sharing_one_device_is_fine_and_splitting_it_is_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {"placement.mode": '"colocate"'}) == []
    assert codes(tmp_path, {"placement.mode": '"split"'}) == ["RLC0504"]


def test_one_machine_is_enough_for_one_process(tmp_path: Path) -> None:
    assert codes(tmp_path, {"cluster.nodes": "1"}) == []
    assert codes(tmp_path, {"cluster.nodes": "2"}) == ["RLC0504"]


@pytest.mark.parametrize(
    ("train", "rollout", "fits"),
    [
        ("4", None, True),
        (None, "2", True),
        ("4", "4", True),
        (None, None, False),
        ("8", None, False),
        (None, "8", False),
        ("4", "8", False),
        ("4", "2", False),
    ],
)
def test_two_sides_have_all_gpus_between_them(
    tmp_path: Path, train: str | None, rollout: str | None, fits: bool
) -> None:
    sides: Changes = {"placement.train_gpus": train, "placement.rollout_gpus": rollout}
    assert ("RLC0504" not in codes(tmp_path, {"placement.mode": '"split"', **sides}, base=GPU)) == fits


@pytest.mark.parametrize(("gpus", "fits"), [(None, True), ("8", True), ("4", False), ("16", False)])
def test_sides_that_share_have_all_gpus_each(tmp_path: Path, gpus: str | None, fits: bool) -> None:
    for side in ("train_gpus", "rollout_gpus"):
        assert ("RLC0504" not in codes(tmp_path, {f"placement.{side}": gpus}, base=GPU)) == fits


def test_machines_with_gpus_may_be_many(tmp_path: Path) -> None:
    assert "RLC0504" not in codes(tmp_path, {"cluster.nodes": "4"}, base=GPU)


@pytest.mark.parametrize(
    "sides",
    [{}, {"train_gpus": "8"}, {"rollout_gpus": "8"}, {"train_gpus": "4", "rollout_gpus": "8"}, {"mode": '"colocate"'}],
)
def test_every_way_out_divides_the_gpus(tmp_path: Path, sides: dict[str, str]) -> None:
    split: Changes = {"placement.mode": '"split"', **{f"placement.{name}": text for name, text in sides.items()}}
    if sides.get("mode"):
        split["placement.train_gpus"] = "4"
    ways = [w.sets for d in compiled(tmp_path, split, base=GPU).diagnostics if d.code == "RLC0504" for w in d.help]
    assert ways
    for sets in ways:
        assert "RLC0504" not in codes(tmp_path, {**split, **dict(sets)}, base=GPU)
