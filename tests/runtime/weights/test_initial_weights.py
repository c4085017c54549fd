"""Initial weights: drawn from a seed, or read from files that fit the plan's facts exactly."""

import json
from pathlib import Path
from typing import Never

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.model import Model, Tokenizer
from runtime.data.tokenizers import load_tokenizer
from runtime.weights.huggingface import save_model
from runtime.weights.initial import initial_weights, weight_shapes
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
QUERY, NORM = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"


def model(weights: str = "random", *, tie: bool = True, layers: int = 2) -> Model[Never]:
    return tiny_model(
        weights=weights,
        num_layers=layers,
        hidden_size=16,
        intermediate_size=24,
        head_dim=8,
        vocab_size=20,
        tie_embeddings=tie,
        init_std=0.05,
        tokenizer=Tokenizer(kind="characters", alphabet="0123456789+= "),
    )


def drawn(*, tie: bool = True, layers: int = 2, seed: int = 1) -> dict[str, Tensor]:
    return initial_weights(model(tie=tie, layers=layers), root=Path(), seed=seed)


def read(root: Path, *, tie: bool = True) -> dict[str, Tensor]:
    return initial_weights(model("m", tie=tie), root=root, seed=0)


def refusal(root: Path, *, tie: bool = True) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        read(root, tie=tie)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def write(root: Path, tensors: dict[str, Tensor], name: str = "model.safetensors") -> Path:
    (root / "m").mkdir(exist_ok=True)
    save_file(tensors, root / "m" / name)
    return root / "m"


def test_a_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    first = drawn()
    torch.randn(7)
    second = drawn()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(drawn(seed=2)[QUERY], first[QUERY])


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    drawn()
    assert torch.equal(torch.get_rng_state(), before)


def test_more_layers_do_not_change_the_first_ones() -> None:
    small, large = drawn(layers=1), drawn(layers=3)
    assert all(torch.equal(small[name], large[name]) for name in small)


def test_norms_are_one_and_matrices_normal_with_the_given_deviation() -> None:
    weights = drawn(layers=12)
    matrices = torch.cat([w.flatten() for w in weights.values() if w.ndim == 2])
    assert all(torch.equal(w, torch.ones_like(w)) for w in weights.values() if w.ndim == 1)
    # Standard errors of the mean and of the deviation for this many draws, times five.
    error = 5 * 0.05 / matrices.numel() ** 0.5
    assert abs(float(matrices.mean())) < error
    assert abs(float(matrices.std()) - 0.05) < error
    assert len({float(w.flatten()[0]) for w in weights.values() if w.ndim == 2}) == sum(
        w.ndim == 2 for w in weights.values()
    )


def test_a_tied_model_has_no_head_and_an_untied_one_does() -> None:
    assert HEAD not in drawn(tie=True)
    assert drawn(tie=False)[HEAD].shape == (20, 16)


def test_names_and_shapes_are_those_of_a_counted_qwen3() -> None:
    shapes = weight_shapes(model(layers=1, tie=False))
    per_layer = 2 * 16 + 2 * 8 + (32 + 16 + 16) * 16 + 16 * 32 + 3 * 16 * 24
    assert sum(shape.numel() for shape in shapes.values()) == 2 * 20 * 16 + 16 + per_layer


@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_model_gives_the_same_logits_in_transformers(tmp_path: Path, tie: bool) -> None:
    weights, facts = drawn(tie=tie), model(tie=tie)
    save_model(tmp_path, weights, model=facts, tokenizer=load_tokenizer(facts, root=tmp_path))
    loaded = AutoModelForCausalLM.from_pretrained(str(tmp_path), local_files_only=True)
    assert loaded.config.eos_token_id == 2
    assert loaded.config.rope_parameters["rope_theta"] == 1e4
    held = loaded.state_dict()
    assert all(torch.equal(held[name], weight) for name, weight in weights.items())
    head = weights[EMBEDDING] if tie else weights[HEAD]
    assert torch.equal(loaded.get_output_embeddings().weight, head)


@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_model_is_read_back_bit_by_bit(tmp_path: Path, tie: bool) -> None:
    weights, facts = drawn(tie=tie), model(tie=tie)
    (tmp_path / "m").mkdir()
    save_model(tmp_path / "m", weights, model=facts, tokenizer=load_tokenizer(facts, root=tmp_path))
    again = read(tmp_path, tie=tie)
    assert list(again) == list(weights)
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_other_files_beside_the_model_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, drawn())
    write(tmp_path, {"moment": torch.zeros(3)}, "trainer.safetensors")
    assert set(read(tmp_path)) == set(drawn())


def test_files_in_parts_are_joined_by_their_index(tmp_path: Path) -> None:
    weights = drawn()
    names = list(weights)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, held in parts.items():
        write(tmp_path, {n: weights[n] for n in held}, file)
    index = {"weight_map": {n: file for file, held in parts.items() for n in held}}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    again = read(tmp_path)
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    (tmp_path / "m" / "b.safetensors").unlink()
    assert "names b.safetensors, which is not there" in refusal(tmp_path).message


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    write(tmp_path, {name: w.bfloat16() for name, w in drawn().items()})
    again = read(tmp_path)
    assert again[QUERY].dtype == torch.float32
    assert torch.equal(again[QUERY], drawn()[QUERY].bfloat16().float())


def test_a_tied_table_stored_twice_is_accepted_only_if_equal(tmp_path: Path) -> None:
    weights = drawn()
    write(tmp_path, weights | {HEAD: weights[EMBEDDING].clone()})
    assert HEAD not in read(tmp_path)
    write(tmp_path, weights | {HEAD: weights[EMBEDDING] + 1})
    diagnostic = refusal(tmp_path)
    assert diagnostic.code == "RLC0618"
    assert "tie_embeddings = false" in diagnostic.help[0].text


def test_missing_and_unknown_tensors_are_named(tmp_path: Path) -> None:
    weights = drawn()
    weights["model.layers.0.self_attn.q_porj.weight"] = weights.pop(QUERY)
    write(tmp_path, weights)
    diagnostic = refusal(tmp_path)
    assert diagnostic.code == "RLC0618"
    assert f"lacks {QUERY}" in diagnostic.message
    assert "has model.layers.0.self_attn.q_porj.weight" in diagnostic.message
    assert diagnostic.help[0].text == f"did you mean {QUERY}?"


def test_a_head_that_is_missing_hints_at_tied_embeddings(tmp_path: Path) -> None:
    write(tmp_path, drawn())
    diagnostic = refusal(tmp_path, tie=False)
    assert diagnostic.code == "RLC0618"
    assert "tie_embeddings = true" in diagnostic.help[-1].text


def test_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    write(tmp_path, drawn() | {NORM: torch.ones(17)})
    diagnostic = refusal(tmp_path)
    assert diagnostic.code == "RLC0619"
    assert "is [17], but the model needs [16]" in diagnostic.message


def test_directories_without_readable_weights_are_refused(tmp_path: Path) -> None:
    assert "m is not a directory" in refusal(tmp_path).message
    (tmp_path / "m").mkdir()
    assert refusal(tmp_path).code == "RLC0617"
    (tmp_path / "m" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    assert refusal(tmp_path).code == "RLC0617"


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"weight_map": {"a": "../../a.safetensors"}}', '{"weight_map": {"a": 1}}']
)
def test_a_strange_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors.index.json").write_text(text)
    assert refusal(tmp_path).code == "RLC0617"


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"would run code")
    diagnostic = refusal(tmp_path)
    assert diagnostic.code == "RLC0620"
    assert "pytorch_model.bin" in diagnostic.message
