"""Which checkpoints are kept.  Oracle: lists worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import Checkpoint
from runtime.checkpoint.retention import Retention, not_kept, retention_of
from runtime.checkpoint.store import CheckpointStore
from runtime.checkpoint.writer import CheckpointWriter, Snapshot

pytestmark = pytest.mark.torch

# The newest first; the metric of two steps of stage 1 was not measured.
STATES: list[dict[str, Any]] = [
    {"stage": 1, "measured": {}},
    {"stage": 1, "measured": {"eval/h/accuracy": 0.4, "eval/h/loss": 3.0}},
    {"stage": 1, "measured": {"eval/h/accuracy": 0.6, "eval/h/loss": 2.0}},
    {"stage": 1, "measured": {}},
    {"stage": 1, "measured": {"eval/h/accuracy": 0.6, "eval/h/loss": 1.0}},
    {"stage": 0, "measured": {"eval/h/accuracy": 0.1, "eval/h/loss": 9.0}},
    {"stage": 0, "measured": {"eval/h/accuracy": 0.2, "eval/h/loss": 5.0}},
]


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        (Retention(), []),
        (Retention(latest=1), [1, 2, 3, 4, 5, 6]),
        (Retention(latest=9), []),
        (Retention(latest=1, best=1, metric="eval/h/accuracy"), [1, 3, 4, 5]),
        (Retention(latest=2, best=2, metric="eval/h/accuracy"), [3]),
        (Retention(latest=1, best=1, metric="eval/h/loss"), [1, 2, 3, 5]),
        (Retention(latest=1, best=1, metric="eval/other/accuracy"), [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_newest_and_the_best_of_each_stage_are_kept(rule: Retention, gone: list[int]) -> None:
    assert not_kept(STATES, rule) == gone


def test_a_set_with_dots_in_its_name_is_found_in_metrics() -> None:
    settings = Checkpoint(keep_latest=2, keep_best=1, best_by="eval.math.v2.pass@4")
    assert retention_of(settings) == Retention(latest=2, best=1, metric="eval/math.v2/pass@4")


def test_nothing_damaged_is_removed_and_the_newest_never_is(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        _write(CheckpointWriter(store), step, keeps=Retention())
    (tmp_path / "step_000001" / "state.json").write_text("{", encoding="utf-8")
    store.retain(Retention(latest=1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_000001", "step_000003"]


def test_later_changes_of_a_tensor_do_not_reach_a_checkpoint_that_was_handed_in(tmp_path: Path) -> None:
    writer, moment = CheckpointWriter(CheckpointStore(tmp_path)), torch.zeros(1_000)
    copied = {"moment": moment.clone()}
    writer.write(_snapshot(1, Retention(), copied), waits=False)
    moment += 1
    writer.wait()
    found = CheckpointStore(tmp_path).latest_valid().checkpoint
    assert found is not None
    assert not found.tensors()["moment"].any()


def test_checkpoints_are_written_in_the_order_in_which_they_were_handed_in(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    writer = CheckpointWriter(store)
    for step in range(1, 6):
        writer.write(_snapshot(step, Retention(latest=2)), waits=False)
    writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_000004", "step_000005"]


def test_a_fault_of_the_disk_is_raised_at_the_next_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "no_folder").write_text("", encoding="utf-8")
    writer = CheckpointWriter(CheckpointStore(tmp_path / "no_folder"))
    writer.write(_snapshot(1, Retention()), waits=False)
    with pytest.raises(SpecError, match="checkpoint step_000001 cannot be written"):
        writer.write(_snapshot(2, Retention()), waits=False)
    with pytest.raises(SpecError, match="step_000003"):
        writer.write(_snapshot(3, Retention()), waits=True)
    writer.close()


def _write(writer: CheckpointWriter, step: int, *, keeps: Retention) -> None:
    writer.write(_snapshot(step, keeps), waits=True)
    writer.close()


def _snapshot(step: int, keeps: Retention, tensors: dict[str, torch.Tensor] | None = None) -> Snapshot:
    def write_model(folder: Path) -> None:
        save_file({"w": torch.ones(1)}, folder / "model.safetensors")

    return Snapshot(step=step, tensors=tensors or {}, state={"step": step}, model=write_model, keeps=keeps)
