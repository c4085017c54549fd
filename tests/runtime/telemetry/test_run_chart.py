import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.chart import Chart, chart_of, round_ticks, smooth
from runtime.telemetry.rows import Row
from runtime.telemetry.svg_plot import draw_svg
from runtime.telemetry.terminal_plot import draw_panel, to_ascii

_FINITE = st.floats(min_value=-1e9, max_value=1e9)


def _two_stages() -> list[Row]:
    rows: list[Row] = [{"stage": "sft", "step": 0, "global_step": 0, "eval/a/accuracy": 0.0, "eval/a/greedy": 0.1}]
    rows += [{"stage": "sft", "step": s, "global_step": s, "train/loss": 1 / s} for s in range(1, 5)]
    rows += [
        {"stage": "rl", "step": s, "global_step": 4 + s, "train/loss": 0.0, "reward/mean": s / 10} for s in range(1, 7)
    ]
    rows += [{"stage": "rl", "step": 6, "global_step": 10, "eval/a/accuracy": 0.4, "eval/a/greedy": 0.4}]
    return rows


def _one_line(values: list[float]) -> Chart:
    return chart_of([{"stage": "a", "step": i, "global_step": i, "reward/mean": v} for i, v in enumerate(values, 1)])


@given(_FINITE, _FINITE)
def test_ticks_ascend_and_cover_the_range(a: float, b: float):
    low, high = min(a, b), max(a, b)
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert list(ticks) == sorted(set(ticks))
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


def test_smoothing_a_straight_line_leaves_it_straight_inside():
    line = tuple((float(x), 2.0 * x) for x in range(20))
    averaged = smooth(line, window=5)
    assert [x for x, _ in averaged] == [x for x, _ in line]
    assert [y for _, y in averaged[2:-2]] == pytest.approx([y for _, y in line[2:-2]])
    assert averaged[0] == (0.0, 2.0)


def test_panels_are_accuracy_then_reward_then_the_loss_of_stages_without_reward():
    chart = chart_of(_two_stages())
    assert [panel.title for panel in chart.panels] == ["accuracy on a", "mean reward", "loss"]
    assert [line for s in chart.panels[0].series for line in s.lines] == [
        ((0.0, 0.0), (10.0, 0.4)),
        ((0.0, 0.1), (10.0, 0.4)),
    ]
    assert chart.panels[2].series[0].lines == (((1.0, 1.0), (2.0, 0.5), (3.0, 1 / 3), (4.0, 0.25)),)
    assert chart.starts == (("sft", 0.0), ("rl", 4.0))


def test_values_that_are_not_finite_are_left_out():
    assert _one_line([1.0, math.nan, 3.0]).panels[0].series[0].lines == (((1.0, 1.0), (3.0, 3.0)),)


def test_a_rising_line_ends_in_the_upper_right_corner_of_the_terminal_plot():
    chart = _one_line([float(step) for step in range(1, 101)])
    title, *lines = draw_panel(chart.panels[0], chart, width=60).plain.split("\n")
    assert "mean reward" in title
    plot = [line[9:] for line in lines[:-2]]
    assert len(plot) == 2 * len(chart.panels[0].ticks) - 1
    assert len(plot[0].rstrip()) == 51
    assert len(plot[-1].rstrip()) <= 10


def test_every_other_line_of_the_terminal_plot_is_a_tick_and_a_value_on_it_is_drawn_there():
    chart = chart_of(
        [{"stage": "a", "step": 0, "global_step": i, "eval/h/accuracy": tick} for i, tick in enumerate((0.0, 0.2, 0.4))]
    )
    lines = draw_panel(chart.panels[0], chart, width=60).plain.split("\n")[1:-2]
    assert [line[:7].strip() for line in lines] == ["0.4", "", "0.3", "", "0.2", "", "0.1", "", "0"]
    assert [index for index, line in enumerate(lines) if "\u25cf" in line] == [0, 4, 8]


def test_evaluations_that_fall_together_share_a_mark():
    chart = chart_of(_two_stages())
    plot = draw_panel(chart.panels[0], chart, width=60).plain
    body = plot.split("\n", maxsplit=1)[1]
    assert [body.count(mark) for mark in "\u25cf\u25cb\u25c9"] == [1, 1, 1]
    assert "both" in plot


def test_no_line_of_the_terminal_plot_is_wider_than_asked():
    chart = chart_of(_two_stages())
    for panel in chart.panels:
        assert max(len(line) for line in draw_panel(panel, chart, width=70).plain.split("\n")) <= 70


def test_the_terminal_plot_can_be_put_into_ascii():
    chart = chart_of(_two_stages())
    for panel in chart.panels:
        assert to_ascii(draw_panel(panel, chart, width=70).plain).isascii()


def test_the_svg_is_well_formed_and_escapes_names():
    rows: list[Row] = [{**row, "stage": f"<{row['stage']}&>"} for row in _two_stages()]
    root = ElementTree.fromstring(draw_svg(chart_of(rows), title="a <b> & c", lines=["d & e"]))
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b> & c", "d & e", "<sft&>", "<rl&>", "accuracy on a"} <= set(words)


def test_the_svg_places_points_in_proportion():
    chart = chart_of(_two_stages())
    root = ElementTree.fromstring(draw_svg(chart, title="t", lines=[]))
    lines = [element.get("points", "") for element in root.iter("{http://www.w3.org/2000/svg}polyline")]
    greedy, sampled = lines[0], lines[1]
    assert sampled == "64.0,298.0 836.0,78.0"
    assert greedy == "64.0,243.0 836.0,78.0"


def test_a_run_of_one_step_can_be_drawn():
    chart = _one_line([0.5])
    assert "mean reward" in draw_panel(chart.panels[0], chart, width=60).plain
    ElementTree.fromstring(draw_svg(chart, title="t", lines=[]))
