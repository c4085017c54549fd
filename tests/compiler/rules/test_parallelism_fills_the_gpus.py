"""RLC0506 (PAR-01): dp x tp x pp x cp is the number of training GPUs, and ep x etp divides a stage's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, MOE, Changes, codes, compiled


@pytest.mark.parametrize(
    "axes",
    [{}, {"tp": 8}, {"tp": 2, "pp": 2, "cp": 2}, {"tp": 2, "dp": 4}, {"dp": 2, "pp": 4}, {"cp": 8, "dp": 1}],
)
def test_a_product_of_eight_fills_eight_gpus(tmp_path: Path, axes: dict[str, int]) -> None:
    assert "RLC0506" not in codes(tmp_path, parallel(axes), base=GPU)


@pytest.mark.parametrize("axes", [{"cp": 3}, {"cp": 16}, {"tp": 2, "dp": 3}, {"tp": 4, "pp": 4}, {"dp": 5}])
def test_another_product_does_not(tmp_path: Path, axes: dict[str, int]) -> None:
    assert "RLC0506" in codes(tmp_path, parallel(axes), base=GPU)


def test_a_batch_that_copies_cannot_share_is_not_told_of_copies_that_do_not_fill(tmp_path: Path) -> None:
    """Five copies would leave a rest of every batch, but their number is what is wrong."""
    found = codes(tmp_path, parallel({"dp": 5}), base=GPU)
    assert ("RLC0506" in found, "RLC0508" in found) == (True, False)


def test_only_training_gpus_count(tmp_path: Path) -> None:
    split: Changes = {"placement.mode": '"split"', "placement.train_gpus": "6"}
    assert "RLC0506" not in codes(tmp_path, {**split, "parallel.cp": "3"}, base=GPU)
    assert "RLC0506" in codes(tmp_path, {**split, "parallel.cp": "4"}, base=GPU)


@pytest.mark.parametrize(
    ("axes", "fills"),
    [
        ({"ep": 8}, True),
        ({"ep": 4, "etp": 2}, True),
        ({"pp": 2, "ep": 4}, True),
        ({"pp": 2, "ep": 8}, False),  # slime#1818: two stages of four GPUs each, and eight for the experts
        ({"ep": 16}, False),
        ({"ep": 8, "etp": 2}, False),
    ],
)
def test_experts_share_the_gpus_of_one_pipeline_stage(tmp_path: Path, axes: dict[str, int], fills: bool) -> None:
    assert ("RLC0506" not in codes(tmp_path, parallel(axes), base=MOE)) == fills


@pytest.mark.parametrize("axes", [{"cp": 3}, {"tp": 2, "dp": 3}, {"dp": 5}])
def test_every_way_out_fills_the_gpus(tmp_path: Path, axes: dict[str, int]) -> None:
    changes = parallel(axes)
    ways = [w.sets for d in compiled(tmp_path, changes, base=GPU).diagnostics if d.code == "RLC0506" for w in d.help]
    assert ways
    for sets in ways:
        assert "RLC0506" not in codes(tmp_path, {**changes, **dict(sets)}, base=GPU)


def parallel(axes: dict[str, int]) -> Changes:
    return {f"parallel.{name}": str(size) for name, size in axes.items()}
