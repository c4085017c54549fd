"""The chart drawn as one SVG file that any browser opens: no script, no font of its own, nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from runtime.telemetry.chart import Chart, Kind, Line, Panel, Point, Series, round_ticks
from runtime.telemetry.wording import number, tick_label

_WIDTH, _LEFT, _RIGHT, _TOP = 860.0, 64.0, 24.0, 78.0
_PANEL_HEIGHT, _GAP = 220.0, 62.0
_COLORS: dict[Kind, str] = {
    "sampled": "#0072b2",
    "greedy": "#d55e00",
    "pass": "#8a6d00",
    "cons": "#8b4a8b",
    "smooth": "#00785a",
    "raw": "#9bd3c3",
}
_STROKES: dict[Kind, str] = {
    "sampled": 'stroke-width="2"',
    "greedy": 'stroke-width="2" stroke-dasharray="6 4"',
    "pass": 'stroke-width="2" stroke-dasharray="2 3"',
    "cons": 'stroke-width="2" stroke-dasharray="8 3 2 3"',
    "smooth": 'stroke-width="2"',
    "raw": 'stroke-width="1"',
}


def draw_svg(chart: Chart, *, title: str, lines: Sequence[str]) -> str:
    """Return the chart as the text of an SVG file, with a title and some lines of text below the panels."""
    bottom = _TOP + len(chart.panels) * (_PANEL_HEIGHT + _GAP)
    height = bottom + 20 * len(lines) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" width="{_WIDTH:g}" '
        f'height="{height:g}" font-family="system-ui, Helvetica, Arial, DejaVu Sans, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH:g}" height="{height:g}" fill="white"/>',
        _text((_LEFT, 30), title, size=18, weight="bold"),
    ]
    for index, panel in enumerate(chart.panels):
        parts += _panel(panel, chart, top=_TOP + index * (_PANEL_HEIGHT + _GAP))
    parts += [_text((_LEFT, bottom + 20 * index), line, color="#444") for index, line in enumerate(lines)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, chart: Chart, *, top: float) -> list[str]:
    low, high = panel.ticks[0], panel.ticks[-1]
    bottom, right = top + _PANEL_HEIGHT, _WIDTH - _RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + x / chart.last_step * (right - _LEFT),
            bottom - (y - low) / (high - low) * _PANEL_HEIGHT,
        )

    parts = [_text((_LEFT, top - 10), panel.title, weight="bold")]
    for tick in panel.ticks:
        y = place(0, tick)[1]
        color = "#888" if tick == low else "#e4e4e4"
        parts.append(_rule((_LEFT, y), (right, y), color=color))
        parts.append(_text((_LEFT - 8, y + 4), tick_label(tick), anchor="end", color="#444"))
    for tick in round_ticks(0.0, chart.last_step, count=6):
        if tick <= chart.last_step and tick == int(tick):
            parts.append(_text((place(tick, low)[0], bottom + 18), f"{tick:,.0f}", anchor="middle", color="#444"))
    if panel is chart.panels[-1]:
        parts.append(_text((right, bottom + 36), "global step", anchor="end", color="#777", size=12))
    for name, start in chart.starts if len(chart.starts) > 1 else ():
        x = place(start, low)[0]
        if start:
            parts.append(_rule((x, top), (x, bottom), color="#777", dash="3 3"))
        parts.append(_text((x + 6, top + 14), name, color="#777", size=12))
    for series in reversed(panel.series):
        parts += _band(series, [(place(x, low), place(x, high)) for x, low, high in series.bounds])
        moved = [tuple(place(x, y) for x, y in line) for line in series.lines]
        parts += _series(series, moved)
    return parts + _legend(panel, right=right, y=top - 10)


def _series(series: Series, lines: Sequence[Line], *, marks_at: slice = slice(None)) -> list[str]:
    color = _COLORS[series.kind]
    parts: list[str] = []
    for line in lines:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-linejoin="round" '
            f"{_STROKES[series.kind]}/>"
        )
        if series.kind not in ("smooth", "raw") or len(line) == 1:
            fill = "white" if series.kind == "greedy" else color
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{fill}" stroke="{color}" stroke-width="1.5"/>'
                for x, y in line[marks_at]
            ]
    return parts


def _band(series: Series, bounds: Sequence[tuple[Point, Point]]) -> list[str]:
    """Upright lines from the low to the high end of each interval: neighbours overlap less than areas would."""
    color = _COLORS[series.kind]
    return [
        f'<line class="interval" x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{color}" '
        f'stroke-opacity="0.35" stroke-width="3"/>'
        for (x, low), (_, high) in bounds
    ]


def _legend(panel: Panel, *, right: float, y: float) -> list[str]:
    parts: list[str] = []
    x = right
    for series in reversed(panel.series):
        values = [value for line in series.lines for _, value in line]
        last = f" {number(values[-1])}" if series.kind != "raw" else ""
        label = f"{series.label}{last}"
        parts.append(_text((x, y), label, anchor="end", color="#222"))
        x -= 7.2 * len(label) + 12
        parts += _series(series, [((x - 30, y - 4), (x - 15, y - 4), (x, y - 4))], marks_at=slice(1, 2))
        x -= 48
    return parts


def _text(
    place: Point,
    words: str,
    *,
    size: int = 13,
    weight: str = "normal",
    anchor: str = "start",
    color: str = "#111",
) -> str:
    return (
        f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{color}">{escape(words)}</text>'
    )


def _rule(start: tuple[float, float], end: tuple[float, float], *, color: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{color}"{dashes}/>'
    )
