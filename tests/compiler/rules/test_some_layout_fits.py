"""RLC0413 (MEM-06): where nothing fits, the layout that is least over, and changes after which one does."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes, compiled
from tests.support.left_out import LEFT_OUT

LARGE: Changes = {"model.name": '"//models:llama3_1_70b"', "rollout.max_prompt_tokens": '"1Ki"'}


def test_what_fits_no_layout_is_said_once_with_the_phase_that_is_too_full(tmp_path: Path) -> None:
    assert codes(tmp_path, LARGE, base=LEFT_OUT) == ["RLC0413"]
    (found,) = compiled(tmp_path, LARGE, base=LEFT_OUT).diagnostics
    assert found.message.startswith("no layout fits 8 GPUs of 79.6 GiB; the one that is least over, ")
    assert " GiB in train: " in found.message


def test_more_machines_are_counted_until_one_fits(tmp_path: Path) -> None:
    (found,) = compiled(tmp_path, LARGE, base=LEFT_OUT).diagnostics
    (way,) = (way for way in found.help if way.sets)
    ((path, nodes),) = way.sets
    assert path == "cluster.nodes"
    assert codes(tmp_path, {**LARGE, path: nodes}, base=LEFT_OUT) == []
    assert codes(tmp_path, {**LARGE, path: str(int(nodes) // 2)}, base=LEFT_OUT) == ["RLC0413"]


def test_a_constraint_that_keeps_everything_from_fitting_may_be_left_out(tmp_path: Path) -> None:
    changes: Changes = {**LARGE, "cluster.nodes": "2", "placement.gpus_per_engine": "1"}
    (found,) = compiled(tmp_path, changes, base=LEFT_OUT).diagnostics
    assert found.code == "RLC0413"
    assert 'set placement.gpus_per_engine = "auto"' in found.help[0].text
