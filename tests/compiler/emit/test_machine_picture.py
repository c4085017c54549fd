"""Who is where, drawn in as few boxes as there are different ones, however many machines there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.emit._machine_picture import machine_picture
from tests.support.good_spec import GPU, Changes, compiled

SPLIT: Changes = {
    "schedule.mode": '"async"',
    "placement.mode": '"split"',
    "placement.train_gpus": "16",
    "rollout.prompts_per_step": "1024",
    "train.global_batch": "8192",
}


def _titles(folder: Path, changes: Changes) -> list[str]:
    found = compiled(folder, {**SPLIT, **changes}, base=GPU)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    lines = machine_picture(found.plan)
    return [line[2:].rstrip("\u2500\u2510 ").strip() for line in lines if line.startswith("\u250c")]


@pytest.mark.parametrize("nodes", [8, 128])
def test_machines_that_hold_the_same_share_a_box(tmp_path: Path, nodes: int) -> None:
    titles = _titles(tmp_path, {"cluster.nodes": str(nodes)})
    assert titles == ["node 0", "node 1", f"nodes 2 to {nodes - 1}"]


@pytest.mark.parametrize("nodes", [8, 128])
def test_engines_of_several_machines_share_a_box_too(tmp_path: Path, nodes: int) -> None:
    titles = _titles(tmp_path, {"cluster.nodes": str(nodes), "placement.gpus_per_engine": "16"})
    assert titles == ["node 0", "node 1", f"nodes 2 to {nodes - 1}, 2 for each process"]


def test_a_single_engine_of_two_machines_is_drawn_where_it_begins(tmp_path: Path) -> None:
    titles = _titles(tmp_path, {"cluster.nodes": "4", "placement.gpus_per_engine": "16"})
    assert titles == ["node 0", "node 1", "node 2", "node 3"]
