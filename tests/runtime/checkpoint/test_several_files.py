"""Checkpoints that are larger than a file may be.  Oracle: the tensors that were saved, and the sizes of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from rlc.checkpoints import inspect
from runtime.checkpoint.convert import convert
from runtime.checkpoint.manifest import MANIFEST, damage, write_manifest
from runtime.checkpoint.store import CheckpointStore
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.weights.huggingface import save_model
from runtime.weights.initial import initial_weights
from tests.runtime.engines.tiny_trainer import tiny_weights
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MOST = 20_000  # bytes: the embedding alone has more
MODEL = tiny_model(tie_embeddings=False)


def _saved(folder: Path) -> tuple[CheckpointStore, Path, dict[str, Tensor]]:
    store, weights = CheckpointStore(folder, file_bytes=MOST), tiny_weights(MODEL)

    def write_model(place: Path) -> None:
        save_model(place, weights, model=MODEL, tokenizer=ByteTokenizer(), file_bytes=MOST)

    moments = {f"optim.exp_avg.{name}": tensor + 1 for name, tensor in weights.items()}
    return store, store.save(3, tensors=moments, state={"step": 3}, write_model=write_model), weights


def test_no_file_is_larger_than_asked_unless_one_tensor_is(tmp_path: Path) -> None:
    store, path, weights = _saved(tmp_path)
    held = inspect(path, verify=True)
    assert held.damage == ""
    for files in (held.model, held.trainer):
        by_file: dict[str, list[int]] = {}
        for tensor in files:
            by_file.setdefault(tensor.file, []).append(tensor.num_bytes)
        assert len(by_file) > 2
        assert all(len(sizes) == 1 or sum(sizes) <= MOST for sizes in by_file.values())
        assert sorted(by_file)[0].endswith(f"-00001-of-{len(by_file):05}.safetensors")
    found = store.latest_valid().checkpoint
    assert found is not None
    assert found.path == path
    again, moments = found.weights(), found.tensors()
    assert set(again) == set(weights)
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    assert all(torch.equal(moments[f"optim.exp_avg.{name}"], tensor + 1) for name, tensor in weights.items())


def test_a_run_can_start_from_one_and_it_can_be_converted(tmp_path: Path) -> None:
    _, path, weights = _saved(tmp_path / "run")
    read = initial_weights(MODEL.replacing(weights=str(path)), root=tmp_path, seed=0)
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
    assert convert(path, tmp_path / "one", dtype="as_is", shard_bytes=10**9).files == 1
    names = {file.name for file in (tmp_path / "one").iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if "index" in name or name.startswith("trainer")]


@pytest.mark.parametrize("stem", ["model", "trainer"])
def test_a_file_that_is_lost_or_changed_is_damage(tmp_path: Path, stem: str) -> None:
    store, path, _ = _saved(tmp_path)
    lost = sorted(path.glob(f"{stem}-*.safetensors"))[1]
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(SpecError, match="cannot resume"):
        store.latest_valid()
    lost.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert damage(path) == f"{lost.name} has other content than was written: its sha256 differs"
    lost.write_bytes(content)
    assert inspect(path, verify=True).damage == ""


def test_a_manifest_without_a_file_of_the_index_is_damage(tmp_path: Path) -> None:
    _, path, _ = _saved(tmp_path)
    lost = sorted(path.glob("model-*.safetensors"))[0]
    lost.unlink()
    (path / MANIFEST).unlink()
    write_manifest(path)
    assert lost.name not in json.loads((path / MANIFEST).read_text())["files"]
    assert damage(path) == f"manifest.json does not list {lost.name}"
