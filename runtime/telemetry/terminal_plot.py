"""A panel of the chart drawn with characters: lines in Braille dots, evaluations as marks.

Marks tell the series apart without colour.  `to_ascii` replaces every sign for streams that cannot carry them.
"""

from __future__ import annotations

from rich.text import Text

from runtime.telemetry.chart import Chart, Kind, Panel, Series, round_ticks
from runtime.telemetry.wording import tick_label

_LABEL_WIDTH = 8
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_MARKS: dict[Kind, str] = {"sampled": "\u25cf", "greedy": "\u25cb", "pass": "\u25b2", "cons": "\u25a0"}
_BOTH = "\u25c9"
_STYLES: dict[Kind, str] = {
    "sampled": "cyan",
    "greedy": "magenta",
    "pass": "yellow",
    "cons": "blue",
    "smooth": "green",
    "raw": "dim",
}
_ASCII = {
    0x25CF: "o",
    0x25CB: "x",
    0x25C9: "@",
    0x25B2: "^",
    0x25A0: "#",
    0x2502: "|",
    0x2524: "|",
    0x2514: "+",
    0x2500: "-",
    0x2534: "+",
    0x250A: ":",
}


def draw_panel(panel: Panel, chart: Chart, *, width: int) -> Text:
    """Return the panel as text of `width` columns: a title line, a line for each tick and one between, two of axis."""
    height = 2 * len(panel.ticks) - 1
    label_width = max(_LABEL_WIDTH, *(len(tick_label(tick)) + 1 for tick in panel.ticks))
    canvas = _Canvas(panel, chart, columns=width - label_width - 1, rows=height)
    for _, start in chart.starts[1:]:
        canvas.rule(start)
    for series in panel.series:
        canvas.draw(series)
    text = Text(no_wrap=True)
    text.append(f"{'':{label_width}} {panel.title}", style="bold")
    for series in panel.series:
        if series.kind != "raw":
            text.append("   ")
            text.append(f"{_MARKS.get(series.kind, chr(_BRAILLE + 0x12) * 2)} {series.label}", _STYLES[series.kind])
    if canvas.has_shared_marks:
        text.append(f"   {_BOTH} {'both' if len(panel.series) == 2 else 'several'}", _STYLES["greedy"])
    labels = {canvas.row_of(tick): tick_label(tick) for tick in panel.ticks}
    for row in range(height):
        label = labels.get(row, "")
        text.append(f"\n{label:>{label_width - 1}} {chr(0x2524) if label else chr(0x2502)}")
        for cell, style in canvas.cells(row):
            text.append(cell, style)
    text.append(_axis(chart, columns=canvas.columns, label_width=label_width))
    return text


def to_ascii(text: str) -> str:
    """Return the text with the signs of a plot replaced by ASCII ones."""
    dots = {_BRAILLE + pattern: "." if pattern else " " for pattern in range(256)}
    return text.translate({**dots, **_ASCII})


class _Canvas:
    """Cells of two by four dots, each with the style of what was drawn last, and marks on top."""

    def __init__(self, panel: Panel, chart: Chart, *, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._low, self._high, self._last = panel.ticks[0], panel.ticks[-1], chart.last_step
        self._dots: dict[tuple[int, int], int] = {}
        self._styles: dict[tuple[int, int], str] = {}
        self._marks: dict[tuple[int, int], str] = {}

    def row_of(self, y: float) -> int:
        """Return the row of cells that a value falls into."""
        return self._dot(0, y)[1] // 4

    @property
    def has_shared_marks(self) -> bool:
        """Whether somewhere one mark stands for both series."""
        return _BOTH in self._marks.values()

    def rule(self, x: float) -> None:
        """Draw a vertical line at a global step."""
        column = self._dot(x, self._low)[0] // 2
        for row in range(self.rows):
            self._marks[row, column], self._styles[row, column] = "\u250a", "dim"

    def draw(self, series: Series) -> None:
        """Draw the lines of a series, and its marks where it has some; raw points are left to finer drawings."""
        if series.kind == "raw":
            return
        for line in series.lines:
            dots = [self._dot(x, y) for x, y in line]
            if series.kind != "greedy":
                for a, b in zip(dots, dots[1:] or dots, strict=False):
                    self._segment(a, b, style=_STYLES[series.kind])
            if series.kind in _MARKS:
                for column, row in dots:
                    cell = (row // 4, column // 2)
                    is_shared = self._marks.get(cell, "") in (*_MARKS.values(), _BOTH) and series.kind != "sampled"
                    self._marks[cell] = _BOTH if is_shared else _MARKS[series.kind]
                    self._styles[cell] = _STYLES[series.kind]

    def cells(self, row: int) -> list[tuple[str, str]]:
        """Return the characters of a row with their styles."""
        found = []
        for column in range(self.columns):
            place = (row, column)
            pattern = self._dots.get(place, 0)
            sign = self._marks.get(place, chr(_BRAILLE + pattern) if pattern else " ")
            found.append((sign, self._styles.get(place, "")))
        return found

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        span = (y - self._low) / (self._high - self._low)
        column = round(x / self._last * (2 * self.columns - 1))
        row = round((1 - span) * 4 * (self.rows - 1) + 1.5)
        return column, min(max(row, 0), 4 * self.rows - 1)

    def _segment(self, start: tuple[int, int], end: tuple[int, int], *, style: str) -> None:
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for index in range(length + 1):
            column = start[0] + round((end[0] - start[0]) * index / length)
            row = start[1] + round((end[1] - start[1]) * index / length)
            cell = (row // 4, column // 2)
            self._dots[cell] = self._dots.get(cell, 0) | _DOTS[column % 2][row % 4]
            self._styles.setdefault(cell, style)


def _axis(chart: Chart, *, columns: int, label_width: int) -> str:
    line = [chr(0x2500)] * columns
    labels = [" "] * (columns + 1)
    for tick in round_ticks(0.0, chart.last_step):
        if tick > chart.last_step or tick != int(tick):
            continue
        column = round(tick / chart.last_step * (columns - 1))
        line[column] = chr(0x2534)
        words = tick_label(tick)
        start = min(max(0, column + 1 - len(words) // 2), columns + 1 - len(words))
        labels[start : start + len(words)] = words
    pad = " " * label_width
    return f"\n{pad}{chr(0x2514)}{''.join(line)}\n{pad}{''.join(labels)}"
