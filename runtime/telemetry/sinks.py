"""Everything that a run records, opened together.

metrics.jsonl is the record; TensorBoard events are drawn from the same rows, transcripts stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import Log
from runtime.protocols import Sink
from runtime.telemetry.metrics_file import MetricsFile, write_failed
from runtime.telemetry.rows import Row, read_rows
from runtime.telemetry.tensorboard import TensorBoardEvents
from runtime.telemetry.transcripts import Transcripts
from stdlib.samples import Sample


class RunSinks:
    """Passes each row and each text to every sink, metrics.jsonl first."""

    def __init__(self, metrics: MetricsFile, *, others: Sequence[Sink], kept: Sequence[Row]) -> None:
        self._metrics = metrics
        self._sinks: tuple[Sink, ...] = (metrics, *others)
        self.kept = tuple(kept)

    @property
    def metrics_offset(self) -> int:
        """Length of metrics.jsonl in bytes, on the disk: what a checkpoint records."""
        return self._metrics.offset

    def write(self, row: Row) -> None:
        """Record one flat row; `stage`, `step` and `global_step` are always in it."""
        for sink in self._sinks:
            sink.write(row)

    def transcripts(self, step: int, samples: Sequence[Sample]) -> None:
        """Record some sampled texts of a step within the stage."""
        for sink in self._sinks:
            sink.transcripts(step, samples)

    def close(self) -> None:
        """Put everything on the disk."""
        for sink in self._sinks:
            sink.close()


def open_sinks(log: Log, run_dir: Path, *, stages: Sequence[str], resume_at: int) -> RunSinks:
    """Open what `log` asks for in the run directory.

    Args:
        stages: names of the stages, in order.
        resume_at: length in bytes of metrics.jsonl that the checkpoint recorded; 0 for a run from the start, which
            empties a metrics.jsonl that is there.

    Raises: SpecError RLC0650 or RLC0652 if metrics.jsonl is not what the checkpoint left, RLC0651 if the run directory
    refuses them.
    """
    path = run_dir / "metrics.jsonl"
    others: list[Sink] = []
    try:
        MetricsFile.truncate(path, resume_at)
        kept = read_rows(path) if path.exists() else []
        metrics = MetricsFile(path)
        if log.tensorboard:
            others.append(TensorBoardEvents(run_dir / "tensorboard", kept=kept))
    except OSError as fault:
        raise SpecError(write_failed(run_dir, fault)) from fault
    if log.transcripts_per_step:
        others.append(Transcripts(run_dir / "transcripts", stages=stages, samples_per_step=log.transcripts_per_step))
    return RunSinks(metrics, others=others, kept=kept)
