"""Runs that replay routing, from the spec to the metrics: with the experts of the engine, and of the trainer itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_directory import results_of
from tests.support.tiny_experts import EXPERTS, FAMILIES, run

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("replayed", ["rollout", "trainer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_replays_routing_is_resumed_bit_by_bit(tmp_path: Path, family: str, replayed: str) -> None:
    further = (f'model.family="{family}"', *FAMILIES[family], f'train.routing_replay="{replayed}"')
    rows = run(tmp_path / "whole", *further)
    assert len(rows) == 3
    assert all(0 <= row["train/rerouted_frac"] <= 1 for row in rows)
    # The second of two updates finds routers that the first one moved.
    assert any(row["train/rerouted_frac"] > 0 for row in rows)
    run(tmp_path / "cut", *further, "run.max_steps=2")
    run(tmp_path / "cut", *further)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")


def test_a_router_that_chooses_anew_says_nothing_of_a_replay(tmp_path: Path) -> None:
    rows = run(tmp_path, 'model.family="qwen3_moe"', *EXPERTS, "run.max_steps=1")
    assert "train/rerouted_frac" not in rows[0]
