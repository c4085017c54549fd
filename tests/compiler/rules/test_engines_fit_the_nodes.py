"""RLC0509 (PLACE-04): engines use up their GPUs, within one machine or in whole machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, SFT, Changes, codes, compiled


@pytest.mark.parametrize(
    ("nodes", "each", "fits"),
    [
        (1, 1, True),
        (1, 8, True),
        (2, 16, True),
        (1, 3, False),  # two are left over
        (1, 16, False),  # more than there are
        (3, 6, False),  # 24 / 6 is whole, but the second engine lies on two machines
        (3, 12, False),  # a machine and a half
        (3, 16, False),
    ],
)
def test_an_engine_is_part_of_a_machine_or_several_machines(tmp_path: Path, nodes: int, each: int, fits: bool) -> None:
    changes: Changes = {"cluster.nodes": str(nodes), "placement.gpus_per_engine": str(each)}
    assert ("RLC0509" not in codes(tmp_path, changes, base=GPU)) == fits


def test_only_gpus_that_generate_count(tmp_path: Path) -> None:
    split: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4"}
    assert "RLC0509" not in codes(tmp_path, {**split, "placement.gpus_per_engine": "4"}, base=GPU)
    assert "RLC0509" in codes(tmp_path, {**split, "placement.gpus_per_engine": "8"}, base=GPU)


def test_a_stage_without_rollout_has_no_engine_to_fit(tmp_path: Path) -> None:
    gpu: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster."))}
    assert "RLC0509" not in codes(tmp_path, {**gpu, "placement.gpus_per_engine": "3"}, base=SFT)


@pytest.mark.parametrize(("nodes", "each"), [(1, 3), (3, 6), (3, 12)])
def test_every_way_out_fits(tmp_path: Path, nodes: int, each: int) -> None:
    changes: Changes = {"cluster.nodes": str(nodes), "placement.gpus_per_engine": str(each)}
    ways = [w.sets for d in compiled(tmp_path, changes, base=GPU).diagnostics if d.code == "RLC0509" for w in d.help]
    assert ways
    for sets in ways:
        assert "RLC0509" not in codes(tmp_path, {**changes, **dict(sets)}, base=GPU)
