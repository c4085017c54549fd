"""Legal layouts against brute force: every tuple of sizes, and the conditions of slime's and Megatron's own checks."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from compiler.ir.openness import Off
from compiler.planner.search.problem import Problem, is_banned
from compiler.planner.search.space import engines, groups_of_layers, layouts, sides
from tests.support.good_spec import Changes
from tests.support.left_out import problem

MOE: Changes = {"model.name": '"//models:qwen3_30b_a3b"'}


def oracle(found: Problem, gpus: int) -> set[tuple[int, int, int, int, int, int, int]]:
    """(tp, pp, vpp, cp, ep, etp, dp) by trial: Megatron's validate_args (M01 to M11), and slime's batches (V60)."""
    model, batch = found.experiment.model, found.stages[0].stage.train.global_batch
    longest, moe = found.stages[0].longest, model.moe
    experts, width = (1, model.intermediate_size) if isinstance(moe, Off) else (moe.num_experts, moe.expert_size)
    sizes = range(1, gpus + 1)
    legal = set()
    for tp, pp, cp in product(sizes, sizes, sizes):
        if gpus % (tp * pp * cp) or tp > 8:  # M01, and one NVLink domain
            continue
        dp = gpus // (tp * pp * cp)
        heads, groups = model.num_heads, model.num_kv_heads
        if heads % tp or (groups % tp and tp % groups):  # M04
            continue
        if isinstance(moe, Off) and model.intermediate_size % tp:
            continue
        each = -(-model.num_layers // pp)
        last = model.num_layers - each * (pp - 1)
        if batch % dp or last < 1:  # V60; M07, or M08 with a last stage of fewer layers
            continue
        unit = (tp if tp > 1 else 1) * 2 * cp  # M11 for a placeholder of 4,096 tokens
        if cp > 1 and (4096 % (2 * cp) or unit > longest):
            continue
        groups_of = [vpp for vpp in range(1, 9) if vpp == 1 or (pp > 1 and model.num_layers % (pp * vpp) == 0)]  # M09
        for vpp, ep, etp in product({*groups_of[:2], groups_of[-1]}, sizes, sizes):
            if isinstance(moe, Off) and (ep > 1 or etp > 1):
                continue
            if experts % ep or (gpus // pp) % (ep * etp) or tp % etp or width % etp:  # M02, M03
                continue
            legal.add((tp, pp, vpp, cp, ep, etp, dp))
    return legal


@pytest.mark.parametrize("model", [{}, MOE])
@pytest.mark.parametrize("gpus", [1, 2, 8, 12])
def test_layouts_are_those_that_trial_finds(tmp_path: Path, model: Changes, gpus: int) -> None:
    found = problem(tmp_path, {**model, "train.global_batch": "96", "rollout.prompts_per_step": "12"})
    yielded = [
        (one.tp, one.pp, vpp, one.cp, one.ep, one.etp, one.dp)
        for one in layouts(found, gpus)
        for vpp in groups_of_layers(found, one)
    ]
    assert len(yielded) == len(set(yielded))
    assert set(yielded) == oracle(found, gpus)


def test_engines_lie_within_a_machine_or_use_whole_ones(tmp_path: Path) -> None:
    found = problem(tmp_path, {"cluster.nodes": "4"})
    straddling = {n for n in range(1, 33) if 32 % n or (8 % n if n <= 8 else n % 8)}
    assert set(engines(found, 32)) == {n for n in (1, 2, 4, 8, 16, 32) if n not in straddling}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {("colocate", 8, 8), *(("split", n, 8 - n) for n in range(1, 8))}),
        ({"cluster.nodes": "3"}, {("colocate", 24, 24), ("split", 8, 16), ("split", 16, 8)}),
        ({"schedule.mode": '"async"', "placement.mode": '"split"'}, {("split", n, 8 - n) for n in range(1, 8)}),
        ({"schedule.mode": '"one_step_off"', "placement.mode": '"split"'}, {("split", n, 8 - n) for n in range(1, 8)}),
    ],
)
def test_sides_share_all_gpus_or_divide_them(
    tmp_path: Path, changes: Changes, expected: set[tuple[str, int, int]]
) -> None:
    assert set(sides(problem(tmp_path, changes))) == expected


def test_what_an_engine_cannot_do_is_left_out(tmp_path: Path) -> None:
    found = problem(tmp_path, {"train.engine.name": '"fsdp2"'})
    one = next(layouts(found, 8))
    candidate = found.base
    assert is_banned(found, candidate._replace(layout=one._replace(pp=2)))
    assert not is_banned(found, candidate._replace(layout=one._replace(pp=1, cp=1, sp=False)))
