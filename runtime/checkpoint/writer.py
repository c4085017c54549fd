"""Checkpoints written while training goes on, one at a time.

What a checkpoint holds is copied before it is handed in, so later steps change nothing of it.  A fault of the disk is
raised when the next one is handed in, or when the writer is waited for: never later than the run says that it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from runtime.checkpoint.parts import Apart
from runtime.checkpoint.retention import Retention
from runtime.checkpoint.store import CheckpointStore
from stdlib.samples import JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A checkpoint to be written: the arguments of CheckpointStore.save, and what of the older ones is kept then.

    Args:
        model: writes the model, or says what other processes write, the model among it.
    """

    step: int
    tensors: Mapping[str, Tensor]
    state: Mapping[str, JsonValue]
    model: Callable[[Path], None] | Apart
    keeps: Retention


class CheckpointWriter:
    """Writes the checkpoints of a run into its store."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[None] | None = None

    def write(self, snapshot: Snapshot, *, waits: bool) -> None:
        """Write a checkpoint once the one before is written; with `waits`, return when it is on the disk.

        Raises: SpecError RLC0624 if the disk refused this one, where it was waited for, or the one before; RLC0628 if
        other processes that write do not see the folder, or as they raise.
        """
        self.wait()
        model = snapshot.model
        begun = self._store.begin(snapshot.step, model) if isinstance(model, Apart) else None
        self._under_way = self._threads.submit(self._written, snapshot, begun)
        if waits:
            self.wait()

    def wait(self) -> None:
        """Return when everything handed in is on the disk.  Raises: SpecError RLC0624."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Let what is being written end, and end the thread; a fault is not raised any more."""
        self._threads.shutdown(wait=True)

    def _written(self, snapshot: Snapshot, begun: Path | None) -> None:
        step, tensors, state = snapshot.step, snapshot.tensors, snapshot.state
        if not isinstance(snapshot.model, Apart):
            self._store.save(step, tensors=tensors, state=state, write_model=snapshot.model)
        elif begun is not None:
            self._store.finish(begun, step, snapshot.model, tensors=tensors, state=state)
        self._store.retain(snapshot.keeps)
