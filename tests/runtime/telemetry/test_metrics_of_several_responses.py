"""pass@k and its kin, with their intervals, wherever a run is shown."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from rich.console import Console

from runtime.telemetry.chart import chart_of
from runtime.telemetry.live import LiveView
from runtime.telemetry.plain import PlainView
from runtime.telemetry.rows import Row, encode_row
from runtime.telemetry.summary import summary_text, write_summary
from runtime.telemetry.svg_plot import draw_svg
from runtime.telemetry.terminal_plot import draw_panel
from runtime.telemetry.view import StageInfo

INFO = StageInfo(experiment="demo", number=1, num_stages=1, name="rl", algorithm="grpo", max_steps=10)


def evaluation(step: int, share: float) -> Row:
    row: dict[str, float | int | str] = {"stage": "rl", "step": step, "global_step": step}
    for at, name in enumerate(("accuracy", "pass@2", "pass@16", "cons@16")):
        value = share + 0.1 * at
        row |= {f"eval/h/{name}": value, f"eval/h/{name}_low": value - 0.05, f"eval/h/{name}_high": value + 0.05}
    return row


ROWS = [evaluation(0, 0.2), evaluation(10, 0.5)]


def test_a_plain_line_says_each_with_its_interval_and_its_change() -> None:
    stream = io.StringIO()
    view = PlainView(stream, clock=lambda: 0.0, interval_s=0.0)
    view.stage_started(INFO)
    for row in ROWS:
        view.evaluated(row)
    first, last = stream.getvalue().split("\n")[1:3]
    assert first == (
        "rl eval after step 0: h sampled 0.200 [0.150, 0.250], cons@16 0.500 [0.450, 0.550], "
        "pass@2 0.300 [0.250, 0.350], pass@16 0.400 [0.350, 0.450]"
    )
    assert "pass@16 0.700 [0.650, 0.750] (+0.300)" in last


def test_the_live_panel_has_a_line_for_each() -> None:
    stream = io.StringIO()
    view = LiveView(Console(file=stream, width=100, height=40, force_terminal=True, color_system=None), clock=lambda: 0)
    view.stage_started(INFO)
    for row in ROWS:
        view.evaluated(row)
    view.close()
    lines = stream.getvalue().split("\n")
    assert any("pass@2 " in line and "0.600" in line and "+0.300" in line for line in lines)
    assert any("cons@16" in line and "0.800" in line for line in lines)


def test_the_summary_has_each_with_the_interval_of_the_last(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(map(encode_row, ROWS)))
    summary = write_summary(tmp_path, experiment="demo")
    found = {measure.name: measure for measure in summary.stages[0].evaluations}
    assert list(found) == ["h sampled", "h cons@16", "h pass@2", "h pass@16"]
    assert (found["h pass@2"].first, found["h pass@2"].last) == (0.30000000000000004, 0.6)
    assert (found["h pass@2"].low, found["h pass@2"].high) == (0.5499999999999999, 0.65)
    (line,) = (line for line in summary_text(summary, encoding="utf-8").split("\n") if "pass@16 on h" in line)
    assert line.split()[-5:] == ["0.400", "0.700", "+0.300", "[0.650,", "0.750]"]


def test_the_chart_draws_those_of_most_responses_with_their_intervals() -> None:
    chart = chart_of(ROWS)
    (panel,) = chart.panels
    assert [series.label for series in panel.series] == ["sampled", "pass@16", "cons@16"]
    assert panel.series[1].bounds == ((0.0, 0.35000000000000003, 0.45), (10.0, 0.6499999999999999, 0.75))
    assert panel.ticks[-1] >= 0.85
    text = draw_panel(panel, chart, width=80).plain
    assert text.count("\u25b2") == 3
    assert text.count("\u25a0") == 3
    svg = ElementTree.fromstring(draw_svg(chart, title="demo", lines=[]))
    lines = svg.findall(".//{http://www.w3.org/2000/svg}line[@class='interval']")
    assert len(lines) == 6
    # In proportion: every interval is a tenth of the axis.
    heights = {round(float(line.attrib["y1"]) - float(line.attrib["y2"]), 0) for line in lines}
    assert heights == {round(220 * 0.1 / (panel.ticks[-1] - panel.ticks[0]))}
