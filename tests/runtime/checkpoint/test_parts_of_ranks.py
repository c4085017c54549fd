"""Checkpoints that several ranks write.  Oracle: the state that rank 0 gathers, and the trainer of one process."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import Parallel
from runtime.checkpoint.manifest import damage
from runtime.checkpoint.parts import Apart, Part, PartWriter
from runtime.checkpoint.store import CheckpointStore
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.engines.train.fsdp2 import Fsdp2Trainer
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.weights.huggingface import write_settings
from runtime.weights.initial import initial_weights
from stdlib.algorithms import grpo
from tests.runtime.engines.tiny_ranks import layout, on_ranks, spec_with
from tests.runtime.engines.tiny_trainer import grouped_batch, tiny_families, tiny_weights
from tests.support.ranks import RunRanks

pytestmark = pytest.mark.torch

MOST = 60_000  # bytes of a file
Saved = tuple[list[Part], dict[str, Tensor]]


def spec(family: str) -> TrainerSpec:
    return spec_with(model=tiny_families()[family], keep_reference=True)


def saved_on_a_rank(given: TrainerSpec, parallel: Parallel[Never], folder: Path) -> Saved:
    """Take a step and write; go on with another before what is written is asked for."""
    rank, num_ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    trainer = Fsdp2Trainer(given, parallel, grpo, tiny_weights(given.model))
    trainer.step(grouped_batch(0))
    state = trainer.state()
    writer = PartWriter(f"trainer-{rank}", rank=rank, num_ranks=num_ranks, model=given.model, file_bytes=MOST)
    writer.begin(folder, trainer.whole_state())
    trainer.step(grouped_batch(1))
    return ended(writer), state


def ended(writer: PartWriter) -> list[Part]:
    while (parts := writer.end()) is None:
        time.sleep(0.01)
    return parts


def goes_on_on_a_rank(given: TrainerSpec, parallel: Parallel[Never], path: Path) -> dict[str, Tensor]:
    trainer = Fsdp2Trainer(given, parallel, grpo, tiny_weights(given.model, seed=1))
    trainer.load_state(state_in(path))
    return trainer.state()


def state_in(path: Path) -> dict[str, Tensor]:
    found = CheckpointStore.at(path)
    return {**{f"model.{name}": tensor for name, tensor in found.weights().items()}, **found.tensors()}


class OnRanks:
    """What a run does to save, with ranks of a pool."""

    def __init__(self, run_ranks: RunRanks, given: TrainerSpec, sizes: Mapping[str, Any]) -> None:
        self._run, self._spec, self._sizes = run_ranks, given, sizes
        self.found: list[Saved] = []

    def apart(self) -> Apart:
        return Apart(begin=self._begin, end=self._end, write_settings=self._write_settings)

    def _begin(self, folder: Path) -> None:
        sizes = layout(**self._sizes)
        self.found = on_ranks(self._run, self._spec, sizes, saved_on_a_rank, folder)

    def _end(self) -> list[Part]:
        return [part for parts, _ in self.found for part in parts]

    def _write_settings(self, folder: Path, names: Collection[str], dtype: str) -> None:
        write_settings(folder, names, model=self._spec.model, tokenizer=ByteTokenizer(), dtype=dtype)


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
def test_what_ranks_write_is_the_state_whole_and_goes_on_on_another_layout(
    tmp_path: Path, family: str, run_ranks: RunRanks
) -> None:
    given, store = spec(family), CheckpointStore(tmp_path)
    ranks = OnRanks(run_ranks, given, {"dp": 4})
    apart = ranks.apart()
    begun = store.begin(1, apart)
    assert store.latest_valid().checkpoint is None
    path = store.finish(begun, 1, apart, tensors={"of.driver": torch.ones(2)}, state={"step": 1})
    assert damage(path) == ""
    assert not list(tmp_path.glob(".tmp-*"))
    assert all(parts for parts, _ in ranks.found)  # every rank wrote
    sizes = [sum(part.num_bytes for part in parts) for parts, _ in ranks.found]
    assert max(sizes) - min(sizes) <= max(tensor.nbytes for tensor in ranks.found[0][1].values())

    found, expected = state_in(path), ranks.found[0][1]
    assert found.pop("of.driver").tolist() == [1, 1]
    assert set(found) == set(expected)
    assert all(found[name].equal(tensor) for name, tensor in expected.items())

    without_driver = store.finish(store.begin(2, apart), 2, apart, tensors={}, state={"step": 2})
    for rank in on_ranks(run_ranks, given, layout(tp=2), goes_on_on_a_rank, without_driver)[:1]:
        assert all(rank[name].equal(tensor) for name, tensor in expected.items())
    alone = TorchTrainer(given, grpo, tiny_weights(given.model, seed=1))
    alone.load_state(state_in(without_driver))
    assert all(alone.state()[name].equal(tensor) for name, tensor in expected.items())
    model = given.model.replacing(weights=str(path))
    read = initial_weights(model, root=tmp_path, seed=0)
    assert all(read[name.removeprefix("model.")].equal(t) for name, t in expected.items() if name.startswith("model."))


def test_a_run_killed_while_ranks_write_has_the_checkpoint_before(tmp_path: Path, run_ranks: RunRanks) -> None:
    given, store = spec("qwen3"), CheckpointStore(tmp_path)
    apart = OnRanks(run_ranks, given, {"dp": 2}).apart()
    first = store.finish(store.begin(1, apart), 1, apart, tensors={}, state={"step": 1})
    left = store.begin(2, apart)  # and the driver dies
    assert list(left.iterdir())
    latest = store.latest_valid().checkpoint
    assert latest is not None
    assert latest.path == first
    store.discard_unfinished()
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_a_file_that_is_not_where_the_run_is_leaves_nothing(tmp_path: Path, run_ranks: RunRanks) -> None:
    given, store = spec("qwen3"), CheckpointStore(tmp_path)
    apart = OnRanks(run_ranks, given, {"dp": 2}).apart()
    begun = store.begin(1, apart)
    next(begun.glob("model-trainer-1-*")).unlink()
    with pytest.raises(SpecError, match="RLC0628"):
        store.finish(begun, 1, apart, tensors={}, state={"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_rank_does_not_see_is_refused(tmp_path: Path) -> None:
    model = tiny_families()["qwen3"]
    writer = PartWriter("trainer-0", rank=0, num_ranks=1, model=model, file_bytes=MOST)
    with pytest.raises(SpecError, match="RLC0628"):
        writer.begin(tmp_path / "elsewhere", iter({"optim.step": torch.ones(())}.items()))


def test_a_disk_that_refuses_is_told_when_the_run_waits(tmp_path: Path) -> None:
    model = tiny_families()["qwen3"]
    writer = PartWriter("trainer-0", rank=0, num_ranks=1, model=model, file_bytes=MOST)
    (tmp_path / "trainer-trainer-0-0.part").mkdir()
    writer.begin(tmp_path, iter({"optim.step": torch.ones(())}.items()))
    with pytest.raises(SpecError, match="RLC0624"):
        ended(writer)
