"""Checkpoints looked at and written again.  Oracles: safetensors' own reader, and transformers'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compiler.diagnostics.diagnostic import SpecError
from runtime.checkpoint.contents import model_tensors, tensors_of
from runtime.checkpoint.convert import convert

pytestmark = pytest.mark.torch


def test_headers_say_what_the_library_reads(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(2, 3), "a": torch.ones(4, dtype=torch.bfloat16), "n": torch.tensor(3)}
    save_file(tensors, tmp_path / "model.safetensors")
    found = model_tensors(tmp_path)
    assert [(t.name, t.dtype, t.shape, t.num_bytes) for t in found] == [
        ("a", "BF16", (4,), 8),
        ("b", "F32", (2, 3), 24),
        ("n", "I64", (), 8),
    ]


@pytest.mark.parametrize("kept", [0, 4, 9, 60])
def test_a_file_that_was_cut_off_is_no_safetensors_file(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(8)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SpecError, match=r"is no safetensors file"):
        tensors_of(path)


def test_shards_are_as_small_as_asked_and_hold_every_number(tmp_path: Path) -> None:
    source = _model(tmp_path)
    written = convert(source, tmp_path / "out", dtype="as_is", shard_bytes=100)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text(encoding="utf-8"))
    files = sorted(set(index["weight_map"].values()))
    assert written.files == len(files) == 2  # 80 bytes, and 80 + 12
    merged = {name: tensor for file in files for name, tensor in load_file(tmp_path / "out" / file).items()}
    before = load_file(source / "model.safetensors")
    assert merged.keys() == before.keys()
    assert all(torch.equal(merged[name], before[name]) for name in before)
    again = convert(tmp_path / "out", tmp_path / "back", dtype="as_is", shard_bytes=10**6)
    assert again.files == 1
    assert (tmp_path / "back" / "config.json").read_text() == (source / "config.json").read_text()


def test_bfloat16_is_rounded_as_torch_rounds_and_the_loss_is_told(tmp_path: Path) -> None:
    source = _model(tmp_path)
    written = convert(source, tmp_path / "out", dtype="bfloat16", shard_bytes=10**6)
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(after["a"], before["a"].bfloat16())
    assert torch.equal(after["n"], before["n"])
    assert 0 < written.largest_change <= 2**-8
    assert json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_a_number_that_a_format_has_not_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    source = _model(tmp_path, largest=1e6)
    with pytest.raises(SpecError, match=r"a holds 1e\+06, which float16 has no number for"):
        convert(source, tmp_path / "out", dtype="float16", shard_bytes=10**6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    source = _model(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(SpecError, match="exists already"):
        convert(source, tmp_path / "out", dtype="as_is", shard_bytes=100)


def test_an_index_that_names_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    source = _model(tmp_path)
    index = {"weight_map": {"a": "model.safetensors", "zz": "model.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(SpecError, match=r"says that zz is in model.safetensors, and it is not"):
        model_tensors(source)
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(SpecError, match="no safetensors file beside it"):
        model_tensors(source)


def _model(folder: Path, *, largest: float = 1.0) -> Path:
    source = folder / "model"
    source.mkdir()
    numbers = torch.linspace(0.1, largest, 20)
    tensors = {"a": numbers, "b": -numbers, "n": torch.arange(3, dtype=torch.int32)}
    save_file(tensors, source / "model.safetensors")
    (source / "config.json").write_text(json.dumps({"dtype": "float32"}), encoding="utf-8")
    return source
