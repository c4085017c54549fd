"""TensorBoard events: the numbers of metrics.jsonl, drawn by TensorBoard against the global step.

A graph may show no point twice after a resume.  Events cannot be cut out of a file, so the new one tells readers to
forget every point from a step on, and the rows of that step that metrics.jsonl kept are written again: an evaluation
at the end of a stage and one at the start of the next stand at the same global step, on either side of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.metrics_file import write_failed
from runtime.telemetry.rows import Row
from stdlib.samples import Sample

_AXES = ("step", "global_step")


class TensorBoardEvents:
    """Writes scalars under their own keys."""

    def __init__(self, folder: Path, *, kept: Sequence[Row]) -> None:
        """Open a new events file in the folder.

        Args:
            kept: the rows of metrics.jsonl before this run or its resumed part; empty for a run from the start.
        """
        self._folder = folder
        is_resumed = any(folder.glob("events.out.tfevents.*"))
        last = int(kept[-1]["global_step"]) if kept else 0
        self._writer = SummaryWriter(str(folder), purge_step=last if is_resumed else None)
        if is_resumed:
            for row in kept:
                if row["global_step"] == last:
                    self.write(row)

    def write(self, row: Row) -> None:
        """Add one point for each number of the row.  Raises: SpecError RLC0651 if the disk does not take them."""
        try:
            for key, value in row.items():
                if key not in _AXES and isinstance(value, (int, float)):
                    self._writer.add_scalar(key, value, global_step=int(row["global_step"]))
            self._writer.flush()
        except OSError as fault:
            raise SpecError(write_failed(self._folder, fault)) from fault

    def transcripts(self, step: int, samples: Sequence[Sample]) -> None:
        """Record nothing: texts have files of their own."""

    def close(self) -> None:
        """Write out what is left.  Raises: SpecError RLC0651, also where a write has failed before."""
        try:
            self._writer.close()
        except OSError as fault:
            raise SpecError(write_failed(self._folder, fault)) from fault
