"""`model.weights = PATH`: what lies beside the weights is held against the facts, and quantised weights are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compiler.lowering.test_checkpoint_of_library_model import CONFIG, SCALING
from tests.compiler.rules.good_spec import GPU, Changes, compiled

WRITTEN: Changes = {
    "model.name": None,
    "model.family": '"qwen3"',
    "model.qk_norm": '"head"',
    "model.num_layers": "36",
    "model.hidden_size": "2560",
    "model.intermediate_size": "9728",
    "model.num_heads": "32",
    "model.num_kv_heads": "8",
    "model.head_dim": "128",
    "model.vocab_size": "151936",
    "model.max_position_tokens": "40960",
    "model.rope_base": "1e6",
    "model.norm_eps": "1e-6",
    "model.tie_embeddings": "true",
}
FP8: dict[str, object] = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def directory(folder: Path, said: dict[str, object], name: str = "checkpoint") -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "config.json").write_text(json.dumps({**CONFIG, **said}, indent=2))


def told(folder: Path, changes: Changes | None = None) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in compiled(folder, changes or {}, base=GPU).diagnostics]


def test_a_directory_that_is_not_there_is_left_to_the_run(tmp_path: Path) -> None:
    assert told(tmp_path) == []
    (tmp_path / "checkpoint").mkdir()
    assert told(tmp_path) == []


def test_a_library_model_is_held_against_its_weights(tmp_path: Path) -> None:
    directory(tmp_path, {})
    assert told(tmp_path) == []
    directory(tmp_path, {"rope_theta": 5000000, "attention_bias": False})
    assert told(tmp_path) == [
        ("RLC0232", "model.rope_base is 5000000 in the checkpoint and 1000000.0 in //models:qwen3_4b")
    ]


def test_a_reason_does_not_help_against_the_weights(tmp_path: Path) -> None:
    directory(tmp_path, {})
    changed: Changes = {
        "model.rope_base": "5e6",
        "model.overrides": '[{ fact = "rope_base", why = "continued at longer contexts" }]',
    }
    assert told(tmp_path, changed) == [("RLC0213", "model.rope_base is 1000000 in the checkpoint")]
    directory(tmp_path, {"rope_theta": 5000000})
    assert told(tmp_path, changed) == []


def test_weights_do_not_change_a_plan(tmp_path: Path) -> None:
    without = compiled(tmp_path, WRITTEN, base=GPU).plan
    directory(tmp_path, {})
    beside = compiled(tmp_path, WRITTEN, base=GPU).plan
    assert without is not None
    assert without == beside


def test_a_fact_that_nobody_writes_is_compared_as_well(tmp_path: Path) -> None:
    directory(tmp_path, {"rope_scaling": {**SCALING, "original_max_position_embeddings": 8192}})
    assert told(tmp_path, WRITTEN) == [("RLC0213", "model.rope_scaling is a table in the checkpoint")]
    directory(tmp_path, {"num_nextn_predict_layers": 2})
    assert told(tmp_path, WRITTEN) == [("RLC0213", "model.num_mtp_layers is 2 in the checkpoint")]


def test_what_cannot_be_read_beside_the_weights_is_said(tmp_path: Path) -> None:
    directory(tmp_path, {"model_type": "bert"})
    assert [code for code, _ in told(tmp_path)] == ["RLC0212"]
    (tmp_path / "checkpoint/config.json").write_text("{")
    assert [code for code, _ in told(tmp_path)] == ["RLC0212"]


@pytest.mark.parametrize(
    ("paths", "is_trained_on"),
    [
        ({"model.hf": '"checkpoint"', "model.weights": None}, True),
        ({"model.hf": '"checkpoint"', "model.weights": '"checkpoint"'}, True),
        ({"model.hf": '"checkpoint"', "model.weights": '"random"'}, False),
        ({"model.hf": '"checkpoint"', "model.weights": '"elsewhere"'}, False),
        ({}, True),
        ({"model.hf": '"elsewhere"', "model.weights": '"checkpoint"'}, True),
    ],
)
def test_quantised_weights_are_no_start_of_a_training(tmp_path: Path, paths: Changes, is_trained_on: bool) -> None:
    directory(tmp_path, FP8)
    directory(tmp_path, {}, "elsewhere")
    message = "the weights of checkpoint are quantised by fp8, and training needs them in full precision"
    assert told(tmp_path, paths) == ([("RLC0236", message)] if is_trained_on else [])


def test_other_ways_to_say_so(tmp_path: Path) -> None:
    directory(tmp_path, {"compression_config": {"format": "int-quantized"}})
    assert [code for code, _ in told(tmp_path)] == ["RLC0236"]
    directory(tmp_path, {"quantization_config": None})
    assert told(tmp_path) == []
