"""Models of every family, written as directories that transformers reads, and read back."""

import json
from pathlib import Path
from typing import Any, Never

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.model import Model
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.engines.architecture import architecture
from runtime.engines.train.hf_model import held_weights
from runtime.weights.expert_layout import as_computed, as_stored
from runtime.weights.huggingface import save_model
from runtime.weights.initial import initial_weights
from tests.runtime.engines.tiny_trainer import hf_model, tiny_families, tiny_weights
from tests.support.good_spec import compiled
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

NO_FACTS = ("hf", "weights", "tokenizer", "init_std")
FAMILIES = pytest.mark.parametrize("model", tiny_families().values(), ids=tiny_families().keys())


@FAMILIES
def test_a_saved_model_gives_the_same_logits_in_transformers(model: Model[Never], tmp_path: Path) -> None:
    save_model(tmp_path, tiny_weights(model), model=model, tokenizer=ByteTokenizer())
    loaded: Any = AutoModelForCausalLM.from_pretrained(str(tmp_path), local_files_only=True)
    assert type(loaded).__name__ == json.loads((tmp_path / "config.json").read_text())["architectures"][0]
    tokens = torch.arange(30)[None] % VOCAB
    with torch.no_grad():
        found, expected = loaded(input_ids=tokens).logits, hf_model(model)(input_ids=tokens).logits
    assert found.equal(expected)


@FAMILIES
def test_a_saved_model_is_read_back_bit_by_bit(model: Model[Never], tmp_path: Path) -> None:
    weights = tiny_weights(model)
    save_model(tmp_path, weights, model=model, tokenizer=ByteTokenizer())
    again = initial_weights(model.replacing(weights="."), root=tmp_path, seed=0)
    assert list(again) == list(weights)
    assert all(again[name].equal(weight) for name, weight in weights.items())


@FAMILIES
def test_the_configuration_of_a_saved_model_says_what_the_plan_said(model: Model[Never], tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    save_model(tmp_path / "saved", tiny_weights(model), model=model, tokenizer=ByteTokenizer())
    subject = compiled(tmp_path, {"model.name": None, "model.hf": '"saved"'}).subject
    assert subject is not None
    facts = {name: value for name, value in vars(subject.experiment.model).items() if name not in NO_FACTS}
    assert facts == {name: value for name, value in vars(model).items() if name not in NO_FACTS}


def test_layers_that_predict_further_tokens_are_left_in_their_files(tmp_path: Path) -> None:
    model = tiny_families()["glm4_moe"].replacing(weights=".", num_mtp_layers=1)
    weights = tiny_weights(model)
    save_model(tmp_path, weights, model=model, tokenizer=ByteTokenizer())
    save_file({"model.layers.2.eh_proj.weight": torch.ones(2, 2)}, tmp_path / "more.safetensors")
    index = {name: name for name in ("model.safetensors", "more.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert initial_weights(model, root=tmp_path, seed=0).keys() == weights.keys()
    with pytest.raises(SpecError, match=r"model\.layers\.2\.eh_proj\.weight, which the model lacks"):
        initial_weights(model.replacing(num_mtp_layers=0), root=tmp_path, seed=0)


PREDICTING = pytest.mark.parametrize("name", ["glm4_moe", "deepseek_v3"])


def predicting(name: str) -> Model[Never]:
    return tiny_families()[name].replacing(weights=".", num_mtp_layers=2)


def predicting_weights(model: Model[Never]) -> dict[str, torch.Tensor]:
    return initial_weights(model.replacing(weights="random"), root=Path(), seed=3, predicts=True)


@PREDICTING
def test_layers_that_predict_further_tokens_are_read_where_somebody_reads_them(name: str, tmp_path: Path) -> None:
    model = predicting(name)
    weights = predicting_weights(model)
    save_model(tmp_path, weights, model=model, tokenizer=ByteTokenizer())
    again = initial_weights(model, root=tmp_path, seed=0, predicts=True)
    assert list(again) == list(weights)
    assert all(again[name].equal(weight) for name, weight in weights.items())
    without = initial_weights(model, root=tmp_path, seed=0)
    assert set(weights) - set(without) == {w for w in weights if w.startswith(("model.layers.2.", "model.layers.3."))}


@PREDICTING
def test_they_are_written_as_published_checkpoints_have_them(name: str, tmp_path: Path) -> None:
    model = predicting(name)
    weights = predicting_weights(model)
    save_model(tmp_path, weights, model=model, tokenizer=ByteTokenizer())
    assert json.loads((tmp_path / "config.json").read_text())["num_nextn_predict_layers"] == 2
    stored = load_file(tmp_path / "model.safetensors")
    layer = {w.removeprefix("model.layers.2."): t for w, t in stored.items() if w.startswith("model.layers.2.")}
    block = {w.removeprefix("model.layers.1.") for w in stored if w.startswith("model.layers.1.")}
    joint = {"enorm.weight", "hnorm.weight", "eh_proj.weight", "shared_head.norm.weight"}
    assert layer.keys() == block | joint | {"embed_tokens.weight", "shared_head.head.weight"}
    assert layer["embed_tokens.weight"].equal(weights["model.embed_tokens.weight"])
    assert layer["shared_head.head.weight"].equal(weights["lm_head.weight"])
    assert layer["eh_proj.weight"].shape == (model.hidden_size, 2 * model.hidden_size)
    loaded: Any = AutoModelForCausalLM.from_pretrained(str(tmp_path), local_files_only=True)
    plain = {w: t for w, t in held_weights(loaded).items() if not w.startswith(("model.layers.2.", "model.layers.3."))}
    assert all(t.equal(weights[w]) for w, t in plain.items())


@PREDICTING
def test_a_model_without_them_is_written_as_one_that_has_none(name: str, tmp_path: Path) -> None:
    """Facts of the library say that there are such layers; a run that does not read them does not write them."""
    model = predicting(name)
    weights = tiny_weights(model.replacing(num_mtp_layers=0))
    save_model(tmp_path, weights, model=model, tokenizer=ByteTokenizer())
    assert json.loads((tmp_path / "config.json").read_text())["num_nextn_predict_layers"] == 0
    assert initial_weights(model, root=tmp_path, seed=0).keys() == weights.keys()
    with pytest.raises(SpecError, match=r"RLC0618.*model\.layers\.2\."):
        initial_weights(model, root=tmp_path, seed=0, predicts=True)


@FAMILIES
def test_random_norms_are_one_and_random_biases_zero(model: Model[Never]) -> None:
    drawn = initial_weights(model, root=Path(), seed=1)
    vectors = {name: weight for name, weight in drawn.items() if weight.ndim == 1}
    assert any(name.endswith(".bias") for name in vectors) == architecture(model).qkv_bias
    assert all(weight.eq(0.0 if name.endswith("bias") else 1.0).all() for name, weight in vectors.items())


def test_stacking_undoes_splitting_and_an_expert_that_lacks_a_part_keeps_its_name() -> None:
    stacked = {"a.experts.gate_up_proj": torch.arange(24.0).view(2, 6, 2), "a.experts.down_proj": torch.ones(2, 2, 3)}
    stored = dict(as_stored(stacked))
    assert stored["a.experts.1.up_proj.weight"].tolist() == [[18, 19], [20, 21], [22, 23]]
    again = as_computed(stored)
    assert again.keys() == stacked.keys()
    assert all(again[name].equal(tensor) for name, tensor in stacked.items())
    del stored["a.experts.0.up_proj.weight"]
    assert as_computed(stored).keys() == stored.keys()
