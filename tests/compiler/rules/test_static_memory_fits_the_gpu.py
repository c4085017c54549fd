"""RLC0530 (MEM-01): what training holds all the time is less than the memory of its GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, compiled

LARGE: Changes = {"model.name": '"//models:qwen3_14b"', "model.weights": '"checkpoint"'}


def fits(folder: Path, changes: Changes) -> bool:
    return "RLC0530" not in codes(folder, {**LARGE, **changes}, base=GPU)


def test_fourteen_billion_parameters_fit_eighty_gib_in_bf16_over_eight_copies(tmp_path: Path) -> None:
    """14.8e9 x (2 + 2 + 12 / 8) bytes are 75.6 GiB; in fp32, 14.8e9 x (4 + 4 + 8 / 8) bytes are 123.8."""
    assert fits(tmp_path, {})
    assert not fits(tmp_path, {"train.precision": '"fp32"'})


@pytest.mark.parametrize(
    ("gpu", "changes", "enough"),
    [
        ("8xA100-40-SXM", {}, False),
        ("8xA100-40-SXM", {"parallel.tp": "2"}, False),  # 27.6 of weights, gradients; 20.7 of optimizer state
        ("8xA100-40-SXM", {"parallel.tp": "8"}, True),
        ("8xA100-40-SXM", {"parallel.pp": "4"}, True),
        ("8xH200-141-SXM", {"train.precision": '"fp32"'}, True),
        ("8xA100-40-SXM", {"train.engine.name": '"fsdp2"'}, True),
        ("8xA100-40-SXM", {"optim.name": '"sgd"', "parallel.tp": "2"}, True),
    ],
)
def test_memory_axes_and_engine_decide(tmp_path: Path, gpu: str, changes: Changes, enough: bool) -> None:
    assert fits(tmp_path, {"cluster.gpus_per_node": f'"{gpu}"', **changes}) == enough


@pytest.mark.parametrize(
    "changes",
    [
        {"train.precision": '"fp32"'},
        {"cluster.gpus_per_node": '"8xA100-40-SXM"'},
        {"cluster.gpus_per_node": '"2xH100-80-SXM"', "cluster.nodes": "2"},
        {"cluster.gpus_per_node": '"8xA100-40-SXM"', "parallel.dp": "8"},
        {"model.name": '"//models:qwen3_30b_a3b"', "train.precision": '"fp32"'},
    ],
)
def test_every_way_out_fits_and_breaks_nothing_else(tmp_path: Path, changes: Changes) -> None:
    found = compiled(tmp_path, {**LARGE, **changes}, base=GPU).diagnostics
    ways = [way.sets for d in found if d.code == "RLC0530" for way in d.help]
    assert ways
    before = {d.code for d in found}
    for sets in ways:
        after = set(codes(tmp_path, {**LARGE, **changes, **dict(sets)}, base=GPU))
        assert "RLC0530" not in after
        assert after <= before | {"RLC0402"}, "what comes on top of it is another rule's"


def test_a_layout_that_does_not_come_out_even_is_told_that_first(tmp_path: Path) -> None:
    assert fits(tmp_path, {"train.precision": '"fp32"', "parallel.cp": "3"})
