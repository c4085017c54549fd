"""`model.hf`: facts from config.json, in the spellings that checkpoints have, and contradictions with a spec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.ir.model import Model
from compiler.ir.openness import OFF
from tests.support.good_spec import GRPO, Changes, compiled

CONFIG: dict[str, object] = {
    "model_type": "qwen3",
    "num_hidden_layers": 28,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
BASE = {k: v for k, v in GRPO.items() if k != "model.name"} | {"model.hf": '"small"'}


def write_config(folder: Path, config: dict[str, object]) -> None:
    (folder / "small").mkdir(exist_ok=True)
    (folder / "small/config.json").write_text(json.dumps(config, indent=2))


def model_of(folder: Path, config: dict[str, object], changes: Changes | None = None) -> Model[object]:
    write_config(folder, config)
    found = compiled(folder, changes or {}, base=BASE)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan.experiment.model


def told(folder: Path, config: dict[str, object], changes: Changes | None = None) -> list[tuple[str, str]]:
    write_config(folder, config)
    return [(d.code, d.message) for d in compiled(folder, changes or {}, base=BASE).diagnostics]


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in CONFIG.items() if key not in keys}


def test_the_facts_are_those_of_the_file(tmp_path: Path) -> None:
    model = model_of(tmp_path, CONFIG)
    assert (model.family, model.num_layers, model.hidden_size, model.intermediate_size) == ("qwen3", 28, 1024, 3072)
    assert (model.num_heads, model.num_kv_heads, model.head_dim) == (16, 8, 128)
    assert (model.vocab_size, model.max_position_tokens, model.norm_eps) == (151936, 40960, 1e-6)
    assert (model.rope_base, model.tie_embeddings) == (1_000_000.0, True)


def test_weights_and_tokenizer_follow_the_directory(tmp_path: Path) -> None:
    model = model_of(tmp_path, CONFIG)
    assert (model.hf, model.weights, model.name, model.tokenizer.kind) == ("small", "small", OFF, "huggingface")
    assert model_of(tmp_path, CONFIG, {"model.weights": '"random"'}).weights == "random"


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_parameters": {"rope_theta": 5e5}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "rope_theta": None},
        {"rope_parameters": None, "rope_theta": 5e5},
    ],
)
def test_the_base_of_the_positions_is_found_flat_and_nested(tmp_path: Path, rope: dict[str, object]) -> None:
    assert model_of(tmp_path, {**without("rope_theta", "rope_scaling"), **rope}).rope_base == 5e5


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "longrope", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 2.0}},
    ],
)
def test_positions_stretched_by_an_unknown_rule_are_refused_and_not_ignored(
    tmp_path: Path, rope: dict[str, object]
) -> None:
    assert next(code for code, _ in told(tmp_path, {**CONFIG, **rope})) == "RLC0212"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("attention_bias", True, "true"), ("use_sliding_window", True, "true"), ("hidden_act", "gelu", '"gelu"')],
)
def test_what_no_engine_computes_is_refused_and_not_ignored(
    tmp_path: Path, key: str, value: object, shown: str
) -> None:
    assert told(tmp_path, {**CONFIG, key: value}) == [("RLC0212", f"{key} = {shown} is not known here")]


def test_what_the_engines_compute_may_be_said(tmp_path: Path) -> None:
    plain = {"attention_bias": False, "use_sliding_window": False, "sliding_window": None, "hidden_act": "silu"}
    assert model_of(tmp_path, {**CONFIG, **plain}) == model_of(tmp_path, CONFIG)


def test_the_width_of_a_head_follows_where_the_file_does_not_say_it(tmp_path: Path) -> None:
    assert model_of(tmp_path, without("head_dim")).head_dim == 128  # transformers' default for Qwen3
    llama = {**without("head_dim"), "model_type": "llama"}
    assert model_of(tmp_path, llama).head_dim == 1024 // 16


def test_a_fact_that_the_spec_repeats_is_fine(tmp_path: Path) -> None:
    model = model_of(tmp_path, CONFIG, {"model.num_layers": "28", "model.max_position_tokens": '"40Ki"'})
    assert (model.num_layers, model.max_position_tokens) == (28, 40960)


@pytest.mark.parametrize(
    ("field", "value", "fact"),
    [
        ("model.num_layers", "27", "28"),
        ("model.tie_embeddings", "false", "True"),
        ("model.rope_base", "1e4", "1000000"),
        ("model.max_position_tokens", '"32Ki"', "40960"),
        ("model.norm_eps", "1e-5", "1e-06"),
    ],
)
def test_a_fact_that_contradicts_the_file_is_an_error_with_both_places(
    tmp_path: Path, field: str, value: str, fact: str
) -> None:
    write_config(tmp_path, CONFIG)
    (found,) = compiled(tmp_path, {field: value}, base=BASE).diagnostics
    assert (found.code, found.message) == ("RLC0213", f"{field} is {fact} in the checkpoint")
    places = {(label.span.file.name.rpartition("/")[2], label.span.text) for label in found.labels}
    assert ("spec.toml", value) in places
    assert "config.json" in {name for name, _ in places}


@pytest.mark.parametrize("key", ["num_hidden_layers", "vocab_size", "rms_norm_eps"])
def test_a_fact_that_the_file_lacks_is_asked_for_by_name(tmp_path: Path, key: str) -> None:
    ((code, message),) = told(tmp_path, without(key))
    field = {"num_hidden_layers": "num_layers", "rms_norm_eps": "norm_eps"}
    assert (code, message) == ("RLC0205", f"model.{field.get(key, key)} is required")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    ((code, message),) = told(tmp_path, {**CONFIG, "model_type": "bert"})
    assert code == "RLC0212"
    assert message.endswith("small/config.json is not known here")


@pytest.mark.parametrize("value", [[], {}, "28", 28.5, -1, True, None])
def test_a_fact_of_the_wrong_type_is_a_diagnostic(tmp_path: Path, value: object) -> None:
    assert told(tmp_path, {**CONFIG, "num_hidden_layers": value}) != []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"model_type": NaN}'])
def test_a_file_that_is_no_config_is_a_diagnostic(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small/config.json").write_bytes(content)
    assert [d.code for d in compiled(tmp_path, {}, base=BASE).diagnostics] == ["RLC0212"]


def test_weights_and_tokenizer_files_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "small" / name).mkdir()  # opening a directory as a file would fail
    assert model_of(tmp_path, CONFIG).weights == "small"
