"""Gates in a run: places where a process stops, says that it is there, and waits to be killed or let on.

They are put around functions of the product in a process of its own, so that a test knows where a signal struck.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from runtime.checkpoint.store import CheckpointStore
from runtime.engines.rollout.native.scheduler import Scheduler
from runtime.evaluation import Evaluator
from runtime.telemetry.metrics_file import MetricsFile
from runtime.telemetry.rows import Row, encode_row
from tests.support.processes import GO, REACHED


class Gate:
    """Stops the process when it comes to a place for the n-th time."""

    def __init__(self, folder: Path, place: str, number: int) -> None:
        self._folder, self._place, self._left = folder, place, number

    def is_next(self, place: str) -> bool:
        """Count a visit, and return whether this is the one to stop at."""
        if place != self._place:
            return False
        self._left -= 1
        return self._left == 0

    def stop(self) -> None:
        """Say that the place is reached, and wait."""
        (self._folder / REACHED).touch()
        while not (self._folder / GO).exists():
            time.sleep(0.002)


def install(gate: Gate) -> None:
    """Put the gate around the functions that make up the places."""
    _in_rollout_and_evaluation(gate)
    _in_backward(gate)
    _inside_a_row(gate)
    _around_the_rename(gate)


def _in_rollout_and_evaluation(gate: Gate) -> None:
    advance, measure = Scheduler.advance, Evaluator.measure
    places = ["rollout"]

    def gated_advance(self: Scheduler, **arguments: Any) -> None:
        advance(self, **arguments)
        if gate.is_next(places[-1]):
            gate.stop()

    async def noted_measure(self: Evaluator, **arguments: Any) -> dict[str, float]:
        places.append("evaluation")
        try:
            return await measure(self, **arguments)
        finally:
            places.pop()

    _replace(Scheduler, "advance", gated_advance)
    _replace(Evaluator, "measure", noted_measure)


def _in_backward(gate: Gate) -> None:
    backward = torch.Tensor.backward

    def stop_in_the_engine(gradient: torch.Tensor) -> torch.Tensor:
        if gate.is_next("backward"):
            gate.stop()
        return gradient

    def gated(self: torch.Tensor, *arguments: Any, **options: Any) -> None:
        self.register_hook(stop_in_the_engine)
        backward(self, *arguments, **options)

    _replace(torch.Tensor, "backward", gated)


def _inside_a_row(gate: Gate) -> None:
    write = MetricsFile.write

    def gated(self: MetricsFile, row: Row) -> None:
        if gate.is_next("row"):
            start = self.offset
            self._file.write(encode_row(row)[:40])
            gate.stop()
            self._file.truncate(start)
        write(self, row)

    _replace(MetricsFile, "write", gated)


def _around_the_rename(gate: Gate) -> None:
    publish = CheckpointStore.publish

    def gated(self: CheckpointStore, temporary: Path, final: Path) -> None:
        if gate.is_next("before_rename"):
            gate.stop()
        publish(self, temporary, final)
        if gate.is_next("after_rename"):
            gate.stop()

    _replace(CheckpointStore, "publish", gated)


def _replace(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)
