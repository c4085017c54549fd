"""RLC0541: an engine on GPUs reads a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, SFT, codes

RANDOM = {"model.weights": '"random"'}


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_random_weights_are_in_no_folder(tmp_path: Path, engine: str) -> None:
    assert codes(tmp_path, {**RANDOM, "rollout.engine.name": f'"{engine}"'}, base=GPU) == ["RLC0541"]


def test_who_generates_nothing_or_on_a_processor_needs_no_folder(tmp_path: Path) -> None:
    assert codes(tmp_path, {}) == []
    gpu = {key: GPU[key] for key in ("cluster.target", "cluster.gpus_per_node", "model.name", "train.precision")}
    assert "RLC0541" not in codes(tmp_path, {**gpu, **RANDOM}, base=SFT)
