import json
from pathlib import Path

import pytest

from runtime.telemetry.rows import Row, encode_row
from runtime.telemetry.summary import Measure, summarize, summary_text, write_summary


def _rows() -> list[Row]:
    rows: list[Row] = []
    for step in range(1, 5):
        rows.append({"stage": "sft", "step": step, "global_step": step, "train/loss": 1 / step, "time/step_s": 0.5})
    rows.append({"stage": "rl", "step": 0, "global_step": 4, "eval/h/accuracy": 0.25, "eval/h/greedy": 0.5})
    for step in range(1, 21):
        rows.append(
            {
                "stage": "rl",
                "step": step,
                "global_step": 4 + step,
                "train/loss": 0.0,
                "reward/mean": step / 20,
                "rollout/tokens": 100,
                "time/rollout_s": 0.25,
                "time/step_s": 1.0,
            }
        )
    rows.append({"stage": "rl", "step": 20, "global_step": 24, "eval/h/accuracy": 0.75, "time/eval_s": 2.0})
    return rows


def _write(run_dir: Path, rows: list[Row]) -> None:
    (run_dir / "metrics.jsonl").write_bytes(b"".join(encode_row(row) for row in rows))


def test_a_stage_adds_up_its_rows():
    sft, rl = summarize(_rows())
    assert (sft.name, sft.steps, sft.tokens, sft.time.seconds, sft.time.tokens_per_s) == ("sft", 4, 0, 2.0, None)
    assert sft.training == (Measure(name="train/loss", first=1.0, last=0.25),)
    assert (rl.steps, rl.tokens, rl.time.seconds, rl.time.tokens_per_s) == (20, 2000, 22.0, 400.0)
    (reward,) = rl.training
    assert (reward.first, reward.last) == pytest.approx((0.075, 0.975))
    assert rl.evaluations == (
        Measure(name="h sampled", first=0.25, last=0.75),
        Measure(name="h greedy", first=0.5, last=0.5),
    )


def test_three_files_are_written_and_the_text_is_what_is_printed(tmp_path: Path):
    _write(tmp_path, _rows())
    (tmp_path / "checkpoints").mkdir()
    summary = write_summary(tmp_path, experiment="demo")
    text = (tmp_path / "summary.txt").read_text(encoding="utf-8")
    assert text == summary_text(summary, encoding="utf-8")
    assert "\x1b" not in text
    assert text.rstrip("\n").split("\n")[-1] == f"everything is in {tmp_path}"
    for name in ("metrics.jsonl", "checkpoints/", "summary.json", "summary.txt", "summary.svg"):
        assert name in text
    stages = json.loads((tmp_path / "summary.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["sft", "rl"]
    assert stages[1]["time"] == {"seconds": 22.0, "tokens_per_s": 400.0}
    assert (tmp_path / "summary.svg").read_text().startswith("<svg ")


def test_summarising_twice_gives_the_same_files(tmp_path: Path):
    _write(tmp_path, _rows())
    write_summary(tmp_path, experiment="demo")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_summary(tmp_path, experiment="demo")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_the_text_is_ascii_where_the_stream_is(tmp_path: Path):
    _write(tmp_path, _rows())
    assert summary_text(write_summary(tmp_path, experiment="demo"), encoding="ascii").isascii()


def test_a_run_without_rows_can_be_summarised(tmp_path: Path):
    _write(tmp_path, [])
    summary = write_summary(tmp_path, experiment="demo")
    assert summary.stages == ()
    assert "everything is in" in summary_text(summary, encoding="utf-8")
