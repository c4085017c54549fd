"""The chart of a run: what is drawn against the global step, before it is known where it is drawn.

Panels from top to bottom: accuracy of each held-out set, or its squared error; the reward of sampled responses; and the
loss of stages that have no reward.  The terminal plot and the SVG file are two drawings of the same panels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.telemetry.rows import Row, evaluation_sets, is_evaluation, metrics_over_samples, number_at

Point = tuple[float, float]
Line = tuple[Point, ...]
Kind = Literal["sampled", "greedy", "pass", "cons", "smooth", "raw"]

_TINIEST = 1e-100


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One quantity: lines that are not joined to each other, since each stage is its own.

    `bounds` are the ends of the interval around each point, as (x, low, high), where it was measured.
    """

    label: str
    kind: Kind
    lines: tuple[Line, ...]
    bounds: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Quantities of one unit on one vertical axis, whose ticks are at round numbers."""

    title: str
    series: tuple[Series, ...]
    ticks: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Panels over one horizontal axis of global steps.  `starts` are the stages with the step before their first."""

    panels: tuple[Panel, ...]
    starts: tuple[tuple[str, float], ...]
    last_step: float


def chart_of(rows: Sequence[Row]) -> Chart:
    """Return the chart of a run's rows; panels without a point are left out."""
    stages = _by_stage(rows)
    sets = sorted({name for row in rows for name in evaluation_sets(row)})
    panels = [panel for name in sets for panel in (_accuracy_panel(name, stages), _error_panel(name, stages))]
    rewarded = [stage for stage in stages if any("reward/mean" in row for row in stage)]
    others = [stage for stage in stages if stage not in rewarded]
    panels.append(_training_panel("mean reward", "reward/mean", rewarded))
    panels.append(_training_panel("loss", "train/loss", others))
    starts = tuple((str(stage[0]["stage"]), _first_step(stage)) for stage in stages)
    last = max((float(row["global_step"]) for row in rows), default=0.0)
    return Chart(panels=tuple(p for p in panels if p is not None), starts=starts, last_step=max(1.0, last))


def round_ticks(low: float, high: float, *, count: int = 5) -> tuple[float, ...]:
    """Return ascending round numbers, about `count` intervals of 1, 2 or 5 times a power of ten, that cover the range.

    >>> round_ticks(0.0, 0.37)
    (0.0, 0.1, 0.2, 0.3, 0.4)
    """
    if high - low <= max(abs(low), abs(high), _TINIEST) * 1e-9:
        pad = max(abs(low) / 2, _TINIEST) if low else 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / count
    exponent = math.floor(math.log10(rough))
    power = 10.0**exponent
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 2 - exponent) for index in range(first, last + 1))


def smooth(line: Line, *, window: int) -> Line:
    """Return the moving average of a line over `window` points around each, fewer at the ends."""
    before, after = (window - 1) // 2, window // 2
    averaged = []
    for index, (x, _) in enumerate(line):
        near = line[max(0, index - before) : index + after + 1]
        averaged.append((x, math.fsum(y for _, y in near) / len(near)))
    return tuple(averaged)


def _by_stage(rows: Sequence[Row]) -> list[list[Row]]:
    stages: dict[str, list[Row]] = {}
    for row in rows:
        stages.setdefault(str(row["stage"]), []).append(row)
    return list(stages.values())


def _first_step(stage: Sequence[Row]) -> float:
    return float(min(int(row["global_step"]) - int(row["step"]) for row in stage))


def _points(rows: Sequence[Row], key: str) -> Line:
    found = ((float(row["global_step"]), number_at(row, key)) for row in rows)
    return tuple((x, y) for x, y in found if y is not None)


def _accuracy_panel(name: str, stages: Sequence[Sequence[Row]]) -> Panel | None:
    series = []
    for kind, metric in _kinds(name, stages):
        key = f"eval/{name}/{metric}"
        line = tuple(point for stage in stages for point in _points(stage, key))
        if line:
            ends = [[p for stage in stages for p in _points(stage, f"{key}_{end}")] for end in ("low", "high")]
            bounds = tuple((x, low, high) for (x, low), (_, high) in zip(*ends, strict=True))
            is_of_pairs = any(f"eval/{name}/num_pairs" in row for stage in stages for row in stage)
            label = metric if "@" in metric else "pairs" if is_of_pairs else kind
            series.append(Series(label=label, kind=kind, lines=(line,), bounds=bounds))
    high = max((y for s in series for line in s.lines for _, y in line), default=0.0)
    high = max([high, *(top for s in series for _, _, top in s.bounds)])
    if not series:
        return None
    return Panel(title=f"accuracy on {name}", series=tuple(series), ticks=round_ticks(0.0, max(high, 0.01)))


def _error_panel(name: str, stages: Sequence[Sequence[Row]]) -> Panel | None:
    """The squared error of a reward model that learns scores."""
    line = tuple(point for stage in stages for point in _points(stage, f"eval/{name}/mse"))
    if not line:
        return None
    series = Series(label="squared error", kind="sampled", lines=(line,))
    return Panel(title=f"squared error on {name}", series=(series,), ticks=round_ticks(0.0, max(y for _, y in line)))


def _kinds(name: str, stages: Sequence[Sequence[Row]]) -> list[tuple[Kind, str]]:
    """What is drawn of a set: accuracies, and of pass@k and cons@k the one of most responses."""
    found: list[tuple[Kind, str]] = [("sampled", "accuracy"), ("greedy", "greedy")]
    measured = [metric for stage in stages for row in stage for metric in metrics_over_samples(row, name)]
    kinds: tuple[Kind, ...] = ("pass", "cons")
    for kind in kinds:
        sizes = [int(metric.partition("@")[2]) for metric in measured if metric.startswith(f"{kind}@")]
        if sizes:
            found.append((kind, f"{kind}@{max(sizes)}"))
    return found


def _training_panel(title: str, key: str, stages: Sequence[Sequence[Row]]) -> Panel | None:
    lines = [_points([row for row in stage if not is_evaluation(row)], key) for stage in stages]
    lines = [line for line in lines if line]
    if not lines:
        return None
    window = max(1, max(len(line) for line in lines) // 30)
    averaged = tuple(smooth(line, window=window) for line in lines)
    label = "each step" if window == 1 else f"mean of {window} steps"
    series = [Series(label=label, kind="smooth", lines=averaged)]
    if window > 1:
        series.append(Series(label="each step", kind="raw", lines=tuple(lines)))
    values = [y for line in lines for _, y in line]
    return Panel(title=title, series=tuple(series), ticks=round_ticks(min(values), max(values)))
