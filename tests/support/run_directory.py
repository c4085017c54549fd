"""What a run left behind, in a form that can be compared with another run: everything but what a clock measured."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Points = dict[str, list[tuple[int, float]]]


class Results(NamedTuple):
    """`rows` are the lines of metrics.jsonl without keys under `time/`; files are digests by name.

    What samples nothing has no transcripts.
    """

    weights: dict[str, str]
    rows: list[dict[str, Any]]
    transcripts: dict[str, str]


def results_of(run_dir: Path) -> Results:
    """Return what two runs of one plan have in common."""
    last = newest_checkpoint(run_dir)
    weights = {name: _digest(last / name) for name in ("model.safetensors", "trainer.safetensors")}
    transcripts = {path.name: _digest(path) for path in sorted((run_dir / "transcripts").glob("*"))}
    return Results(weights, rows_of(run_dir), transcripts)


def rows_of(run_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl without keys under `time/`; every line has to be whole."""
    text = (run_dir / "metrics.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text.splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


def newest_checkpoint(run_dir: Path) -> Path:
    """Return the checkpoint of the highest step."""
    return max((run_dir / "checkpoints").glob("step_*"), key=lambda path: path.name)


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Return when each file below a folder was last written, and its digest; hidden files are left out."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name[0] != "."]
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, _digest(p)) for p in paths}


def points_of(run_dir: Path) -> Points:
    """Return what TensorBoard's own reader finds, without keys under `time/`."""
    reader = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    tags: Any = reader.Tags()
    names: list[str] = tags["scalars"]
    shown = [name for name in names if not name.startswith("time/")]
    return {name: [(event.step, event.value) for event in reader.Scalars(name)] for name in shown}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
