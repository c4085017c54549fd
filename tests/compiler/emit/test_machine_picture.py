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


def _lines(folder: Path, changes: Changes, *, nodes_per_domain: int = 1) -> list[str]:
    found = compiled(folder, {**SPLIT, **changes}, base=GPU)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return machine_picture(found.plan, nodes_per_domain)


def _titles(folder: Path, changes: Changes, *, nodes_per_domain: int = 1) -> list[str]:
    lines = _lines(folder, changes, nodes_per_domain=nodes_per_domain)
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


def test_1250_machines_of_racks_are_three_boxes_that_name_their_domains(tmp_path: Path) -> None:
    racks: Changes = {
        "cluster.nodes": "1250",
        "cluster.gpus_per_node": '"4xGB200-192"',
        "placement.train_gpus": "2048",
        "placement.gpus_per_engine": "8",
    }
    titles = _titles(tmp_path, racks, nodes_per_domain=18)
    assert titles == [
        "node 0, domain 0",
        "nodes 1 to 511, domains 0 to 28",
        "nodes 512 to 1249, 2 for each process, domains 28 to 69",
    ]


def test_engines_that_follow_each_other_on_a_machine_share_a_box(tmp_path: Path) -> None:
    lines = _lines(tmp_path, {"cluster.nodes": "3", "placement.gpus_per_engine": "2"})
    drawn = [line.strip("\u2502 ") for line in lines if "rollout" in line or "for each process" in line]
    assert drawn[0].startswith("\u250c\u2500 cuda:0 to cuda:7, 2 for each process")
    assert drawn[1].split() == ["processes", "16", "to", "19", "rollout", "sglang"]
    assert len(drawn) == 2


def test_both_kinds_the_router_and_the_judge_have_lines_of_their_own(tmp_path: Path) -> None:
    changes: Changes = {
        "cluster.nodes": "3",
        "placement.gpus_per_engine": "1",
        "placement.disaggregation.prefill_engines": "2",
        "placement.judge": '{ weights = "judge", weights_gib = 30.0, gpus = 4, gpus_per_engine = 4 }',
        "reward.name": '"judge"',
        "reward.judge": '{ url = "http://{judge}/v1/chat/completions", model = "a-judge" }',
    }
    lines = _lines(tmp_path, changes)
    words = [line.strip("\u2502 ").split() for line in lines if "process" in line and "\u250c" not in line]
    found = [(" ".join(row[1:-2]), row[-2], row[-1]) for row in words]
    assert found == [
        ("20", "reward", "judge"),
        ("21", "router", "sglang_router"),
        ("0 to 7", "trainer", "megatron"),
        ("8 to 15", "trainer", "megatron"),
        ("16 to 17", "prefill", "sglang"),
        ("18 to 19", "decode", "sglang"),
        ("22", "judge", "sglang"),
    ]
