"""The summary of a run: what each stage cost and what it brought, read from metrics.jsonl.

Printed at the end, and kept as summary.json (for tools), summary.txt (the same words) and summary.svg (the chart).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.chart import Chart, chart_of
from runtime.telemetry.metrics_file import write_failed
from runtime.telemetry.rows import (
    Row,
    evaluation_sets,
    is_evaluation,
    metrics_of_answers,
    metrics_over_samples,
    number_at,
    read_rows,
)
from runtime.telemetry.svg_plot import draw_svg
from runtime.telemetry.terminal_plot import draw_panel, to_ascii
from runtime.telemetry.wording import change, duration, interval, number

_WIDTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A quantity at the start and at the end of a stage; `low` and `high` bound the last, where that was measured."""

    name: str
    first: float
    last: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTime:
    """What a clock measured of a stage: all seconds of its steps and evaluations, and tokens sampled a second."""

    seconds: float
    tokens_per_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSummary:
    """One stage.

    Args:
        tokens: sampled for training.
        ends_mean_steps: steps at either end that the measures in `training` are means of.
        training: reward and response length, or the loss of a stage without rewards.
        evaluations: `<set> sampled`, `<set> greedy` and such as `<set> pass@4`, single measurements.
    """

    name: str
    steps: int
    tokens: int
    ends_mean_steps: int
    training: tuple[Measure, ...]
    evaluations: tuple[Measure, ...]
    time: StageTime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run, its chart, and the names of what its directory holds."""

    experiment: str
    run_dir: Path
    stages: tuple[StageSummary, ...]
    chart: Chart
    contents: tuple[str, ...]


def write_summary(run_dir: Path, *, experiment: str) -> RunSummary:
    """Summarise metrics.jsonl of the directory, and write summary.json, summary.txt and summary.svg beside it.

    Raises: SpecError RLC0652 if metrics.jsonl has a line that is not a row, RLC0651 if the disk refuses.
    """
    rows = read_rows(run_dir / "metrics.jsonl")
    names = {f"{path.name}/" if path.is_dir() else path.name for path in run_dir.iterdir() if path.name[0] != "."}
    summary = RunSummary(
        experiment=experiment,
        run_dir=run_dir,
        stages=summarize(rows),
        chart=chart_of(rows),
        contents=tuple(sorted(names | {"summary.json", "summary.txt", "summary.svg"})),
    )
    record = {"experiment": experiment, "stages": [asdict(stage) for stage in summary.stages]}
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    _write(run_dir / "summary.json", text)
    _write(run_dir / "summary.txt", summary_text(summary, encoding="utf-8"))
    drawing = draw_svg(summary.chart, title=experiment, lines=_svg_lines(summary))
    _write(run_dir / "summary.svg", drawing)
    return summary


def summarize(rows: Sequence[Row]) -> tuple[StageSummary, ...]:
    """Return what the rows say of each stage, in the order in which the stages ran."""
    names = list(dict.fromkeys(str(row["stage"]) for row in rows))
    return tuple(_stage(name, [row for row in rows if row["stage"] == name]) for name in names)


def summary_text(summary: RunSummary, *, encoding: str) -> str:
    """Return the summary as plain lines without colour, in signs that the encoding has."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=stream, width=_WIDTH, color_system=None, force_terminal=False, highlight=False, emoji=False)
    with console.capture() as capture:
        print_summary(console, summary)
    text = "\n".join(line.rstrip() for line in capture.get().split("\n"))
    return text if encoding.lower().startswith("utf") else to_ascii(text)


def print_summary(console: Console, summary: RunSummary) -> None:
    """Print the summary; its last line says where everything is."""
    console.print(Text(f"\n{summary.experiment}: finished", style="bold"))
    console.print(Group(*_tables(summary)))
    width = min(console.width, _WIDTH)
    for panel in summary.chart.panels:
        console.print(draw_panel(panel, summary.chart, width=width))
    console.print(Text(f"holds: {', '.join(summary.contents)}", style="dim"))
    console.print(Text(f"everything is in {summary.run_dir}"), soft_wrap=True)


def _write(path: Path, text: str) -> None:
    """Give a file this content; one that has it already is left alone."""
    data = text.encode()
    try:
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    except OSError as fault:
        raise SpecError(write_failed(path, fault)) from fault


def _stage(name: str, rows: Sequence[Row]) -> StageSummary:
    steps = [row for row in rows if not is_evaluation(row)]
    ends = max(1, min(10, len(steps) // 10))
    keys = ("reward/mean", "rollout/response_tokens_mean")
    if not any("reward/mean" in row for row in steps):
        keys = ("train/loss",)
    tokens = _total(steps, "rollout/tokens")
    # Where groups wait for a later step, one trains on other tokens than it draws.
    drawn = _total(steps, "buffer/sampled_tokens") + _total(steps, "schedule/sampled_tokens") or tokens
    rollout_s = _total(steps, "time/rollout_s")
    seconds = _total(steps, "time/step_s") + _total(rows, "time/eval_s")
    return StageSummary(
        name=name,
        steps=max((int(row["step"]) for row in steps), default=0),
        tokens=round(tokens),
        ends_mean_steps=ends,
        training=tuple(m for key in keys if (m := _measure(key, _values(steps, key), ends=ends)) is not None),
        evaluations=tuple(_evaluations(rows)),
        time=StageTime(seconds=round(seconds, 3), tokens_per_s=round(drawn / rollout_s, 1) if rollout_s else None),
    )


def _evaluations(rows: Sequence[Row]) -> list[Measure]:
    found = []
    for name in sorted({name for row in rows for name in evaluation_sets(row)}):
        kinds = {"sampled": "accuracy", "greedy": "greedy"}
        kinds |= {metric: metric for row in rows for metric in metrics_over_samples(row, name)}
        kinds = {metric: metric for row in rows for metric in metrics_of_answers(row, name)} or kinds
        for kind, metric in kinds.items():
            key = f"eval/{name}/{metric}"
            measure = _measure(f"{name} {kind}", _values(rows, key), ends=1)
            if measure is not None:
                bounds = [_values(rows, f"{key}_{end}")[-1:] for end in ("low", "high")]
                low, high = bounds if all(bounds) else ([None], [None])
                found.append(replace(measure, low=low[0], high=high[0]))
    return found


def _values(rows: Sequence[Row], key: str) -> list[float]:
    return [value for row in rows if (value := number_at(row, key)) is not None]


def _measure(name: str, values: Sequence[float], *, ends: int) -> Measure | None:
    if not values:
        return None
    first, last = values[:ends], values[-ends:]
    return Measure(name=name, first=math.fsum(first) / len(first), last=math.fsum(last) / len(last))


def _total(rows: Sequence[Row], key: str) -> float:
    return math.fsum(_values(rows, key))


def _tables(summary: RunSummary) -> list[Table]:
    costs = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    costs.add_column("stage")
    for heading in ("steps", "time", "tokens sampled", "tokens/s"):
        costs.add_column(heading, justify="right")
    for stage in summary.stages:
        rate = f"{stage.time.tokens_per_s:,.0f}" if stage.time.tokens_per_s is not None else "-"
        tokens = f"{stage.tokens:,}" if stage.tokens else "-"
        costs.add_row(Text(stage.name), f"{stage.steps:,}", duration(stage.time.seconds), tokens, rate)
    gains = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    gains.add_column("stage")
    gains.add_column("measure")
    for heading in ("first", "last", "change", "interval"):
        gains.add_column(heading, justify="right")
    for stage in summary.stages:
        for measure in stage.evaluations:
            name, _, kind = measure.name.rpartition(" ")
            label = f"accuracy on {measure.name}" if kind in ("sampled", "greedy") else f"{kind} on {name}"
            _add_measure(gains, stage, measure, label=label)
        span = f" (mean of {stage.ends_mean_steps} steps)" if stage.ends_mean_steps > 1 else ""
        for measure in stage.training:
            _add_measure(gains, stage, measure, label=f"{_words(measure.name)}{span}")
        gains.add_section()
    return [costs, gains]


def _add_measure(table: Table, stage: StageSummary, measure: Measure, *, label: str) -> None:
    difference = change(measure.last, since=measure.first)
    bounds = interval(measure.low, measure.high).strip()
    table.add_row(Text(stage.name), Text(label), number(measure.first), number(measure.last), difference, Text(bounds))


def _words(key: str) -> str:
    return {"reward/mean": "reward", "train/loss": "loss"}.get(key, "response tokens")


def _svg_lines(summary: RunSummary) -> list[str]:
    lines = []
    for stage in summary.stages:
        rate = f", {stage.tokens:,} tokens sampled" if stage.tokens else ""
        lines.append(f"{stage.name}: {stage.steps:,} steps in {duration(stage.time.seconds)}{rate}")
    return lines
