"""Oracle: TensorBoard's own reader."""

import shutil
import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import Log
from runtime.telemetry.sinks import RunSinks, open_sinks
from stdlib.samples import Prompt, Sample, SampleId, Segment

pytestmark = pytest.mark.torch

_STAGES = ("sft", "rl")


def _open(run_dir: Path, resume_at: int = 0) -> RunSinks:
    return open_sinks(Log(), run_dir, stages=_STAGES, resume_at=resume_at)


def _step(sinks: RunSinks, stage: str, step: int, global_step: int) -> None:
    sinks.write({"stage": stage, "step": step, "global_step": global_step, "train/loss": 1 / global_step})


def _evaluation(sinks: RunSinks, stage: str, step: int, global_step: int) -> None:
    sinks.write({"stage": stage, "step": step, "global_step": global_step, "eval/heldout/accuracy": global_step / 10})


def _points(run_dir: Path, key: str) -> list[tuple[int, float]]:
    reader = EventAccumulator(str(run_dir / "tensorboard"))
    reader.Reload()
    return [(event.step, round(event.value, 6)) for event in reader.Scalars(key)]


def test_every_number_becomes_a_point(tmp_path: Path):
    sinks = _open(tmp_path)
    for step in (1, 2, 3):
        _step(sinks, "sft", step, step)
    sinks.close()
    assert _points(tmp_path, "train/loss") == [(1, 1.0), (2, 0.5), (3, 0.333333)]


def test_a_resumed_run_has_no_point_twice(tmp_path: Path):
    sinks = _open(tmp_path)
    _evaluation(sinks, "sft", 0, 0)
    for step in (1, 2):
        _step(sinks, "sft", step, step)
    offset = sinks.metrics_offset
    for step in (3, 4):
        _step(sinks, "sft", step, step)
    sinks.close()
    sinks = _open(tmp_path, resume_at=offset)
    for step in (3, 4, 5):
        _step(sinks, "sft", step, step)
    sinks.close()
    assert [step for step, _ in _points(tmp_path, "train/loss")] == [1, 2, 3, 4, 5]
    assert [step for step, _ in _points(tmp_path, "eval/heldout/accuracy")] == [0]


def test_evaluations_on_both_sides_of_a_checkpoint_at_one_step_are_shown_once_each(tmp_path: Path):
    sinks = _open(tmp_path)
    _step(sinks, "sft", 1, 1)
    _evaluation(sinks, "sft", 1, 1)
    offset = sinks.metrics_offset
    _evaluation(sinks, "rl", 0, 1)
    _step(sinks, "rl", 1, 2)
    sinks.close()
    sinks = _open(tmp_path, resume_at=offset)
    _evaluation(sinks, "rl", 0, 1)
    _step(sinks, "rl", 1, 2)
    sinks.close()
    assert _points(tmp_path, "eval/heldout/accuracy") == [(1, 0.1), (1, 0.1)]
    assert _points(tmp_path, "train/loss") == [(1, 1.0), (2, 0.5)]


def test_a_run_started_over_forgets_everything(tmp_path: Path):
    for _ in range(2):
        sinks = _open(tmp_path)
        _evaluation(sinks, "sft", 0, 0)
        _step(sinks, "sft", 1, 1)
        sinks.close()
    assert _points(tmp_path, "train/loss") == [(1, 1.0)]
    assert _points(tmp_path, "eval/heldout/accuracy") == [(0, 0.0)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_rows_kept_by_a_resume_can_be_read(tmp_path: Path):
    sinks = _open(tmp_path)
    _step(sinks, "sft", 1, 1)
    offset = sinks.metrics_offset
    _step(sinks, "sft", 2, 2)
    sinks.close()
    sinks = _open(tmp_path, resume_at=offset)
    assert [row["step"] for row in sinks.kept] == [1]
    sinks.close()


def test_what_the_log_table_turns_off_is_not_written(tmp_path: Path):
    log = Log(tensorboard=False, transcripts_per_step=0)
    sinks = open_sinks(log, tmp_path, stages=_STAGES, resume_at=0)
    _step(sinks, "sft", 1, 1)
    sinks.transcripts(1, [_sample()])
    sinks.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_transcripts_reach_their_folder(tmp_path: Path):
    sinks = _open(tmp_path)
    sinks.transcripts(7, [_sample()])
    sinks.close()
    assert [path.name for path in (tmp_path / "transcripts").iterdir()] == ["stage_sft_step_000007.jsonl"]


def _sample() -> Sample:
    return Sample(
        id=SampleId(stage=0, step=7, group=0, sample=0),
        prompt=Prompt(row=0, source="a.jsonl", text="q", tokens=(1,), label="a"),
        segments=(Segment(tokens=(2,), is_sampled=True, logprobs=(-1.0,), versions=(0,)),),
        text="a",
        finish="stop",
    )


def test_events_that_cannot_be_written_are_a_coded_fault_also_when_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The thread that fails belongs to TensorBoard, which raises the same again where it is asked to flush.
    monkeypatch.setattr(threading, "excepthook", _say_nothing)
    sinks = _open(tmp_path)
    shutil.rmtree(tmp_path / "tensorboard")
    with pytest.raises(SpecError, match=r"RLC0651: cannot write .*tensorboard"):
        _step(sinks, "sft", 1, 1)
    with pytest.raises(SpecError, match=r"RLC0651: cannot write .*tensorboard"):
        sinks.close()


def _say_nothing(_: threading.ExceptHookArgs) -> None:
    """Take an exception of a thread as known."""
