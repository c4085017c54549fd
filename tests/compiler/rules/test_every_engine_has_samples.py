"""RLC0533 (BATCH-06): a rollout has at least one sample for each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, compiled


@pytest.mark.parametrize(
    ("nodes", "each", "idle"), [("1", "1", False), ("2", "1", True), ("2", "2", False), ("4", "2", True)]
)
def test_eight_samples_are_enough_for_eight_engines(tmp_path: Path, nodes: str, each: str, idle: bool) -> None:
    changes: Changes = {
        "cluster.nodes": nodes,
        "parallel.tp": "4",
        "placement.gpus_per_engine": each,
        "rollout.prompts_per_step": "1",
        "train.global_batch": "8",
    }
    found = compiled(tmp_path, changes, base=GPU)
    assert found.plan is not None
    assert [d.severity for d in found.diagnostics if d.code == "RLC0533"] == ["warning"] * idle
