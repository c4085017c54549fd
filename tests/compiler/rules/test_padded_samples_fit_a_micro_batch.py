"""RLC0523 (TOK-03): what padding makes of the longest sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import Parallel
from compiler.ir.paths import read
from compiler.planner.padding import padded, padding_unit
from tests.compiler.rules.good_spec import GPU, Changes, codes, compiled


@pytest.mark.parametrize(
    ("tp", "sp", "cp", "unit"),
    [(1, False, 1, 1), (8, False, 1, 1), (8, True, 1, 8), (1, False, 4, 8), (3, True, 2, 12), (8, True, 2, 8)],
)
def test_a_sequence_is_a_multiple_of_what_splits_it(tp: int, sp: bool, cp: int, unit: int) -> None:
    parallel = Parallel(tp=tp, sp=sp, pp=1, cp=cp, ep=1, etp=1, dp=1)
    assert padding_unit(parallel) == unit
    assert padded(unit + 1, unit) == (2 * unit if unit > 1 else 2)


@pytest.mark.parametrize(("budget", "is_enough"), [(4096, True), (4095, False), (4090, False)])
def test_a_budget_holds_the_padded_sample(tmp_path: Path, budget: int, is_enough: bool) -> None:
    long: Changes = {"rollout.max_context_tokens": "4090", "train.packing.tokens": str(budget), "parallel.cp": "4"}
    assert codes(tmp_path, long, base=GPU) == ([] if is_enough else ["RLC0523"])
    assert codes(tmp_path, {**long, "parallel.cp": None}, base=GPU) == []


def test_a_budget_that_the_compiler_chooses_is_padded(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"rollout.max_context_tokens": "20001", "parallel.cp": "4"}, base=GPU).plan
    assert plan is not None
    assert read(plan.experiment, "stages.0.train.packing.tokens") == 20008
