"""`model.hf` of every architecture that transformers generates text with: it maps, or the message names what does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.model import Model
from compiler.lowering.checkpoint_config import KNOWN
from tests.compiler.rules.good_spec import SFT, compiled

BASE = {k: v for k, v in SFT.items() if k != "model.name"} | {"model.hf": '"small"', "model.weights": '"random"'}
# Architectures of checkpoints whose code is not in transformers.
ELSEWHERE = ("kimi_k2", "mimo")
# Two names of their text part alone, which the library saves.
TEXT_PARTS = ("qwen3_5_text", "qwen3_5_moe_text")
MAPPED = sorted({*KNOWN, *TEXT_PARTS} - set(ELSEWHERE))


def defaults_of(model_type: str) -> dict[str, object]:
    config: Any = CONFIG_MAPPING[model_type]()
    said: dict[str, object] = json.loads(config.to_json_string(use_diff=False))
    return said


def read(folder: Path, config: dict[str, object]) -> tuple[Model[object] | None, list[Diagnostic]]:
    (folder / "small").mkdir(exist_ok=True)
    (folder / "small/config.json").write_text(json.dumps(config, indent=2))
    found = compiled(folder, {}, base=BASE)
    wrong = [d for d in found.diagnostics if d.code in ("RLC0205", "RLC0212", "RLC0213", "RLC0233")]
    return (None if found.subject is None else found.subject.experiment.model), wrong


@pytest.mark.parametrize("model_type", MAPPED)
def test_the_defaults_of_a_class_that_maps_are_read_as_facts(model_type: str, tmp_path: Path) -> None:
    said = defaults_of(model_type)
    model, wrong = read(tmp_path, said)
    assert [d.message for d in wrong] == []
    assert model is not None
    assert model.family == model_type.removesuffix("_text")
    text = said.get("text_config", said)
    assert isinstance(text, dict)
    assert (model.num_layers, model.hidden_size) == (text["num_hidden_layers"], text["hidden_size"])
    assert (model.num_heads, model.vocab_size) == (text["num_attention_heads"], text["vocab_size"])
    assert model.rope_base == text["rope_parameters"]["rope_theta"]


@pytest.mark.parametrize("model_type", sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(MAPPED)))
def test_an_architecture_that_does_not_map_is_told_with_those_that_do(model_type: str, tmp_path: Path) -> None:
    _, (fault,) = read(tmp_path, {"model_type": model_type, "num_hidden_layers": 2, "hidden_size": 64})
    assert fault.code == "RLC0212"
    assert "the architecture of" in fault.message
    assert [way.text for way in fault.help] == [f"these are known: {', '.join(KNOWN)}"]


def test_a_file_that_names_no_architecture_is_told_so_too(tmp_path: Path) -> None:
    _, (fault,) = read(tmp_path, {"num_hidden_layers": 2})
    assert (fault.code, "is not known here" in fault.message) == ("RLC0212", True)
