"""What actors did in a step: spans, shares and waits by hand, and the chart as a reader of XML finds it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.timeline import Span, Timeline, TimelineFile, draw_gantt

SVG = "{http://www.w3.org/2000/svg}"


def timeline_of_a_step() -> Timeline:
    timeline = Timeline()
    timeline.note(0.0, 1.0, {"trainer": "send weights", "engine": "get weights"})
    timeline.note(1.0, 2.0, {"trainer": "waits for groups", "engine": "generate"})
    timeline.note(2.0, 4.0, {"trainer": "waits for groups", "engine": "generate"})
    timeline.note(4.0, 8.0, {"trainer": "train", "engine": "waits for the trainer"})
    return timeline


def test_what_goes_on_is_one_span() -> None:
    assert timeline_of_a_step().spans == [
        Span("trainer", "send weights", 0.0, 1.0),
        Span("engine", "get weights", 0.0, 1.0),
        Span("trainer", "waits for groups", 1.0, 4.0),
        Span("engine", "generate", 1.0, 4.0),
        Span("trainer", "train", 4.0, 8.0),
        Span("engine", "waits for the trainer", 4.0, 8.0),
    ]


def test_shares_and_waits_are_those_of_the_spans() -> None:
    assert timeline_of_a_step().metrics() == {
        "time/busy_trainer_frac": 5 / 8,
        "time/wait_trainer_for_groups_s": 3.0,
        "time/busy_engine_frac": 4 / 8,
        "time/wait_engine_for_the_trainer_s": 4.0,
    }


def test_the_chart_has_a_bar_for_each_span_in_proportion() -> None:
    root = ElementTree.fromstring(
        draw_gantt([("a < b, step 1", timeline_of_a_step().spans)], {"engine": "cuda:8 and 7 more"})
    )
    bars = {bar.findtext(f"{SVG}title"): float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if len(bar)}
    assert len(bars) == 6
    assert bars["train: 4.000 s to 8.000 s"] == pytest.approx(4 * bars["send weights: 0.000 s to 1.000 s"], rel=1e-2)
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a < b, step 1", "trainer", "engine (cuda:8 and 7 more)", "62 %", "50 %"} <= set(said)


def test_every_step_is_a_line_and_the_last_eight_are_shown(tmp_path: Path) -> None:
    file = TimelineFile(tmp_path, {})
    for step in range(1, 11):
        file.write("main", step, timeline_of_a_step())
    file.write("main", 11, Timeline())
    lines = [json.loads(line) for line in (tmp_path / "timeline.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert lines[0]["spans"][2] == ["trainer", "waits for groups", 1.0, 4.0]
    shown = ElementTree.parse(tmp_path / "timeline.svg").getroot().iter(f"{SVG}text")
    assert [t.text for t in shown if "step" in str(t.text)] == [f"main, step {n}" for n in range(3, 11)]


def test_a_disk_that_refuses_ends_the_run_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "timeline.jsonl").mkdir()
    with pytest.raises(SpecError, match="RLC0651"):
        TimelineFile(tmp_path, {}).write("main", 1, timeline_of_a_step())
