"""RLC0548: a judge that is asked for is placed, one that is placed is asked, and it fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import GpuPlacement
from tests.support.good_spec import GPU, GRPO, Changes, codes, compiled

URL = "http://{judge}/v1/chat/completions"
ASKED: Changes = {
    "cluster.nodes": "2",
    "reward.name": '"judge"',
    "reward.judge": f'{{ url = "{URL}", model = "a-judge" }}',
    "rollout.prompts_per_step": "48",
    "train.global_batch": "384",
}


def judge(gib: float, gpus: int, each: int) -> Changes:
    values = f'weights = "judge", weights_gib = {gib}, gpus = {gpus}, gpus_per_engine = {each}'
    return {"placement.judge": f"{{ {values} }}"}


@pytest.mark.parametrize(("gib", "gpus", "each"), [(61.0, 4, 2), (16.0, 4, 1), (130.0, 8, 2), (8.0, 4, 4)])
def test_a_judge_that_fits_passes_and_neither_side_has_its_gpus(
    tmp_path: Path, gib: float, gpus: int, each: int
) -> None:
    found = compiled(tmp_path, {**ASKED, **judge(gib, gpus, each)}, base=GPU)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    placement = found.plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    assert placement.train_gpus == placement.rollout_gpus == 16 - gpus


@pytest.mark.parametrize(
    "placed",
    [
        {},  # asked for, and nowhere
        judge(16.0, 4, 3),  # no whole engines
        judge(16.0, 16, 1),  # nothing left to train
        judge(141.0, 4, 1),  # more than a GPU
        judge(70.1, 4, 1),  # 88 % of a GPU are 70.05 GiB
    ],
)
def test_a_judge_that_cannot_be_placed_is_refused(tmp_path: Path, placed: Changes) -> None:
    assert codes(tmp_path, {**ASKED, **placed}, base=GPU) == ["RLC0548"]


def test_a_judge_that_nobody_asks_is_refused(tmp_path: Path) -> None:
    unasked: Changes = {**judge(16.0, 4, 1), "cluster.nodes": "2", "train.global_batch": "384"}
    assert codes(tmp_path, {**unasked, "rollout.prompts_per_step": "48"}, base=GPU) == ["RLC0548"]


def test_the_way_out_of_too_few_gpus_is_the_smallest_engine_that_holds_it(tmp_path: Path) -> None:
    changes: Changes = {**ASKED, **judge(141.0, 8, 1)}
    (fault,) = compiled(tmp_path, changes, base=GPU).diagnostics
    assert fault.help[0].sets == (("placement.judge.gpus_per_engine", "4"),)


def test_a_target_without_gpus_places_no_judge(tmp_path: Path) -> None:
    changes = {"reward.name": '"judge"', "reward.judge": ASKED["reward.judge"]}
    assert codes(tmp_path, changes, base=GRPO) == ["RLC0340"]
