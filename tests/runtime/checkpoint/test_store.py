"""Checkpoints on a real disk.  Oracle: the tensors and the state that were saved."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from runtime.checkpoint.store import CheckpointStore

pytestmark = pytest.mark.torch


def test_what_was_saved_is_found_again(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    path = _save(store, 12, value=0.5)
    found = store.latest_valid()
    assert found.warnings == ()
    assert found.checkpoint is not None
    assert (found.checkpoint.path, found.checkpoint.step, found.checkpoint.state) == (path, 12, {"step": 12})
    assert found.checkpoint.tensors()["moment"].tolist() == [0.5, 1.0]
    assert load_file(path / "model.safetensors")["w"].tolist() == [0.5]


def test_a_store_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    found = CheckpointStore(tmp_path / "checkpoints").latest_valid()
    assert (found.checkpoint, found.warnings) == (None, ())


def test_the_latest_is_that_of_the_highest_step_and_not_of_the_latest_date(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1_000_000, 9, 10):
        _save(store, step)
    assert _latest(store) == "step_1000000"


def test_views_and_shared_memory_are_saved_as_tensors_of_their_own(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    store = CheckpointStore(tmp_path)
    _save(store, 1, tensors={"whole": whole, "same": whole, "column": whole[:, 1], "row": whole[0]})
    found = store.latest_valid().checkpoint
    assert found is not None
    tensors = {name: tensor.tolist() for name, tensor in found.tensors().items()}
    assert tensors == {"whole": whole.tolist(), "same": whole.tolist(), "column": [1, 4], "row": [0, 1, 2]}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x80
    path.write_bytes(data)


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["model.safetensors", "trainer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", [_flip, _truncate, Path.unlink], ids=["flipped", "truncated", "missing"])
def test_damage_to_any_file_of_the_newest_is_found_and_the_one_before_is_used(
    tmp_path: Path, name: str, harm: object
) -> None:
    store = CheckpointStore(tmp_path)
    _save(store, 1)
    newest = _save(store, 2)
    assert callable(harm)
    harm(newest / name)
    before = _contents(tmp_path)
    found = store.latest_valid()
    assert found.checkpoint is not None
    assert found.checkpoint.step == 1
    (warning,) = found.warnings
    assert (warning.code, warning.severity) == ("RLC0622", "warning")
    assert warning.message.startswith("step_000002 is damaged and passed over: ")
    assert name in warning.message
    assert _contents(tmp_path) == before


def test_without_any_whole_checkpoint_each_fault_is_named_and_nothing_is_deleted(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        _flip(_save(store, step) / "model.safetensors")
    before = _contents(tmp_path)
    with pytest.raises(SpecError) as raised:
        store.latest_valid()
    assert [d.code for d in raised.value.diagnostics] == ["RLC0623", "RLC0622", "RLC0622"]
    assert _contents(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"version": 1}', '{"version": 1, "files": 3, "sha256": ""}', "[" * 100_000, "\0"],
    ids=["empty", "null", "list", "object", "no-files", "files", "nested", "zero"],
)
def test_any_text_in_place_of_a_manifest_is_damage(tmp_path: Path, text: str) -> None:
    store = CheckpointStore(tmp_path)
    (_save(store, 1) / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        store.latest_valid()
    assert "manifest.json" in raised.value.diagnostics[1].message


def test_a_manifest_of_another_version_is_named_as_that(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    path = _save(store, 1) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "version": 9}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"manifest\.json has version 9, and this rlc reads version 1"):
        store.latest_valid()


class _Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._path,)


def test_nothing_of_a_checkpoint_is_ever_unpickled(tmp_path: Path) -> None:
    store, sprung = CheckpointStore(tmp_path / "checkpoints"), tmp_path / "sprung"
    data = pickle.dumps(_Trap(sprung))
    path = _save(store, 1, others={"trap.pt": data, "pytorch_model.bin": data})
    found = store.latest_valid().checkpoint
    assert found is not None
    found.tensors()
    for name in ("model.safetensors", "trainer.safetensors", "state.json"):
        (path / name).write_bytes(data)
    with pytest.raises(SpecError):
        store.latest_valid()
    assert not sprung.exists()
    pickle.loads(data)
    assert sprung.exists()


def test_the_same_content_saved_again_is_kept_once(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    assert _save(store, 3) == _save(store, 3)
    assert _names(tmp_path) == ["step_000003"]


def test_other_content_of_a_step_replaces_the_whole_one_and_leaves_a_damaged_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    _save(store, 3, value=1.0)
    second = _save(store, 3, value=2.0)
    assert _names(tmp_path) == ["step_000003-r2"]
    _flip(second / "state.json")
    _save(store, 3, value=3.0)
    assert _names(tmp_path) == ["step_000003-r2", "step_000003-r3"]
    assert _latest(store) == "step_000003-r3"


def test_what_a_kill_left_unfinished_is_no_checkpoint_and_can_be_discarded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    whole = _save(store, 1)
    whole.rename(tmp_path / ".tmp-step_000001-0")
    assert store.latest_valid().checkpoint is None
    _save(store, 1)
    assert _names(tmp_path) == [".tmp-step_000001-0", "step_000001"]
    store.discard_unfinished()
    assert _names(tmp_path) == ["step_000001"]


def test_a_model_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(directory: Path) -> None:
        (directory / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    store = CheckpointStore(tmp_path)
    with pytest.raises(SpecError, match="RLC0624: checkpoint step_000004 cannot be written: No space left on device"):
        store.save(4, tensors={}, state={}, write_model=fails)
    assert _names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way", encoding="utf-8")
    with pytest.raises(SpecError, match="RLC0624"):
        _save(CheckpointStore(tmp_path / "checkpoints"), 1)


def test_a_state_that_is_not_finite_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        CheckpointStore(tmp_path).save(1, tensors={}, state={"loss": float("nan")}, write_model=lambda _: None)
    assert _names(tmp_path) == []


def _save(
    store: CheckpointStore,
    step: int,
    *,
    value: float = 0.0,
    tensors: dict[str, Tensor] | None = None,
    others: dict[str, bytes] | None = None,
) -> Path:
    def write_model(directory: Path) -> None:
        save_file({"w": torch.tensor([value])}, directory / "model.safetensors")
        for name, data in (others or {}).items():
            (directory / name).write_bytes(data)

    kept = {"moment": torch.tensor([value, 1.0])} if tensors is None else tensors
    return store.save(step, tensors=kept, state={"step": step}, write_model=write_model)


def _latest(store: CheckpointStore) -> str:
    found = store.latest_valid().checkpoint
    assert found is not None
    return found.path.name


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
