"""RLC0544: groups of engines use up their GPUs, and no engine lies across the border of two machines in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import GpuPlacement
from tests.support.good_spec import GPU, Changes, codes, compiled

SPLIT: Changes = {"cluster.nodes": "4", "placement.mode": '"split"', "placement.train_gpus": "16"}


def pairs(readers: int, of: int, each: int) -> Changes:
    return {
        "placement.disaggregation.prefill_engines": str(readers),
        "placement.disaggregation.prefill_gpus_per_engine": str(of),
        "placement.gpus_per_engine": str(each),
    }


@pytest.mark.parametrize(("readers", "of", "each"), [(1, 8, 8), (2, 2, 4), (4, 1, 4), (1, 2, 2), (8, 1, 8)])
def test_pairs_that_use_up_their_gpus_pass(tmp_path: Path, readers: int, of: int, each: int) -> None:
    assert codes(tmp_path, {**SPLIT, **pairs(readers, of, each)}, base=GPU) == []


@pytest.mark.parametrize(("readers", "of", "each"), [(2, 8, 8), (16, 1, 1), (3, 4, 8), (1, 16, 1), (1, 1, 2)])
def test_pairs_that_leave_nobody_or_something_over_are_refused(
    tmp_path: Path, readers: int, of: int, each: int
) -> None:
    assert codes(tmp_path, {**SPLIT, **pairs(readers, of, each)}, base=GPU) == ["RLC0544"]


def test_an_engine_that_generates_does_not_begin_in_the_middle(tmp_path: Path) -> None:
    changes = {**SPLIT, **pairs(2, 2, 4), "placement.disaggregation.prefill_engines": "4"}
    assert codes(tmp_path, changes, base=GPU) == []
    assert codes(tmp_path, {**SPLIT, "cluster.nodes": "4", **pairs(1, 4, 4)}, base=GPU) == []
    assert codes(tmp_path, {**SPLIT, "cluster.nodes": "5", **pairs(4, 2, 16)}, base=GPU) == []
    assert codes(tmp_path, {**SPLIT, "placement.train_gpus": "4", **pairs(2, 2, 8)}, base=GPU) == []


def test_an_engine_of_one_kind_does_not_begin_in_the_middle_either(tmp_path: Path) -> None:
    changes: Changes = {**SPLIT, "placement.gpus_per_engine": "8", "placement.train_gpus": "8"}
    assert codes(tmp_path, changes, base=GPU) == []
    changes |= {"cluster.nodes": "3", "placement.train_gpus": "12", "train.global_batch": "240"}
    found = compiled(tmp_path, {**changes, "placement.gpus_per_engine": "4"}, base=GPU)
    assert "RLC0544" not in [d.code for d in found.diagnostics]
    found = compiled(tmp_path, {**changes, "placement.rollout_gpus": "12", "placement.gpus_per_engine": "2"}, base=GPU)
    assert "RLC0544" not in [d.code for d in found.diagnostics]


@pytest.mark.parametrize("way", [0, 1])
def test_each_way_out_that_is_named_leads_to_a_plan(tmp_path: Path, way: int) -> None:
    changes = {**SPLIT, **pairs(4, 4, 4)}
    (fault,) = compiled(tmp_path, changes, base=GPU).diagnostics
    sets = dict(fault.help[way].sets)
    assert codes(tmp_path, {**changes, **sets}, base=GPU) == []


def test_an_engine_of_a_machine_does_not_begin_behind_half_a_machine_of_trainers(tmp_path: Path) -> None:
    changes: Changes = {"cluster.nodes": "3", "placement.mode": '"split"', "placement.train_gpus": "4"}
    (fault,) = compiled(tmp_path, {**changes, **pairs(1, 8, 4)}, base=GPU).diagnostics
    assert (fault.code, fault.help[0].sets) == ("RLC0544", (("placement.train_gpus", "8"),))


@pytest.mark.parametrize("readers", [1, 3, 5, 6])
def test_sizes_that_the_planner_chooses_leave_whole_engines_to_both_kinds(tmp_path: Path, readers: int) -> None:
    changes: Changes = {**SPLIT, "parallel.etp": None, "placement.disaggregation.prefill_engines": str(readers)}
    found = compiled(tmp_path, changes, base=GPU)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    placement = found.plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    first, second = placement.engine_groups()
    assert first.engines * first.gpus + second.engines * second.gpus == placement.rollout_gpus
