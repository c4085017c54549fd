"""RLC0532 (MEM-03): weights and one longest sequence fit the GPUs of an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, SFT, Changes, codes, compiled

LARGE: Changes = {"model.name": '"//models:llama3_1_70b"', "cluster.nodes": "4", "parallel.tp": "8"}


def fits(folder: Path, changes: Changes) -> bool:
    return "RLC0532" not in codes(folder, {**LARGE, **changes}, base=GPU)


@pytest.mark.parametrize(
    ("gpus", "context", "enough"),
    [
        ("1", "4096", False),  # 141 GB of weights
        ("2", "4096", True),  # 65.7 GiB of weights, and 0.6 of keys and values
        ("2", "131_072", False),  # and 20 GiB
        ("4", "131_072", True),
    ],
)
def test_weights_and_one_sequence_have_room(tmp_path: Path, gpus: str, context: str, enough: bool) -> None:
    changes: Changes = {"placement.gpus_per_engine": gpus, "rollout.max_context_tokens": context}
    assert fits(tmp_path, changes) == enough


def test_quantised_weights_and_keys_take_less(tmp_path: Path) -> None:
    one: Changes = {"placement.gpus_per_engine": "1", "rollout.max_context_tokens": "4096"}
    assert fits(tmp_path, {**one, "rollout.engine.sglang.quantization": '"fp8"'})  # 67.7 GiB of weights
    two: Changes = {"placement.gpus_per_engine": "2", "rollout.max_context_tokens": "131_072"}
    assert not fits(tmp_path, {**two, "rollout.engine.sglang.mem_fraction_static": "0.9"})
    eight: Changes = {"rollout.engine.sglang.kv_cache_dtype": '"fp8_e4m3"'}
    assert fits(tmp_path, {**two, **eight})  # 65.7 of weights and 10


def test_the_way_out_fits(tmp_path: Path) -> None:
    found = compiled(tmp_path, LARGE, base=GPU).diagnostics
    ways = [way.sets for d in found if d.code == "RLC0532" for way in d.help]
    assert ways == [(("placement.gpus_per_engine", "4"),)]
    assert fits(tmp_path, dict(ways[0]))


def test_a_stage_that_samples_nothing_has_no_engine(tmp_path: Path) -> None:
    gpu: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster."))}
    assert "RLC0532" not in codes(tmp_path, {**gpu, **LARGE}, base=SFT)
