"""The live view: a panel at the foot of the terminal that is redrawn in place while a stage runs.

The panel of a finished stage and warnings are left standing above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.telemetry.episode_lines import episode_lines
from runtime.telemetry.rows import (
    Row,
    evaluation_sets,
    is_evaluation,
    metrics_of_answers,
    metrics_over_samples,
    number_at,
)
from runtime.telemetry.summary import RunSummary, print_summary
from runtime.telemetry.view import Clock, StageInfo, TimeLeft
from runtime.telemetry.wording import change, duration, number, one_line, sparkline
from stdlib.samples import Sample

_METRICS = (
    ("reward", "reward/mean"),
    ("response tokens", "rollout/response_tokens_mean"),
    ("KL", "train/kl"),
    ("entropy", "train/entropy"),
    ("loss", "train/loss"),
    ("tokens/s", "time/tokens_per_s"),
)
_REFRESH_PER_S = 2
_WIDEST = 110
_MOST_KEPT = 2000
_TURNS_SHOWN = 8


@dataclass(kw_only=True, slots=True)
class _StageState:
    info: StageInfo
    time_left: TimeLeft
    kept: list[Row] = field(default_factory=list)
    latest: Row | None = None
    num_seen: int = 0
    stride: int = 1
    evaluations: list[Row] = field(default_factory=list)
    sample: Sample | None = None
    is_over: bool = False

    def add(self, row: Row) -> None:
        """Take in a step.  Of a long stage every second row is dropped, evenly, so that drawing stays cheap."""
        if self.num_seen % self.stride == 0:
            self.kept.append(row)
        self.num_seen += 1
        self.latest = row
        if len(self.kept) > _MOST_KEPT:
            self.kept = self.kept[::2]
            self.stride *= 2

    def steps(self) -> list[Row]:
        """Return the rows to draw; the first and the latest are always among them."""
        kept = self.kept[:]
        return kept if self.latest is None or kept[-1] is self.latest else [*kept, self.latest]


class LiveView:
    """Draws on a terminal through a rich console, which also honours NO_COLOR."""

    def __init__(self, console: Console, *, clock: Clock) -> None:
        """Draw on `console`, which must be a terminal; nothing is drawn before the first stage starts."""
        self._console = console
        self._clock = clock
        self._stage: _StageState | None = None
        self._live: Live | None = None

    def stage_started(self, info: StageInfo) -> None:
        """Begin a panel; the one before is left standing above it."""
        self.close()
        self._stage = _StageState(
            info=info,
            time_left=TimeLeft(info, clock=self._clock),
            evaluations=[row for row in info.past if is_evaluation(row)],
        )
        for row in info.past:
            if not is_evaluation(row):
                self._stage.add(row)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REFRESH_PER_S,
            redirect_stdout=True,
            redirect_stderr=True,
        )
        self._live.start()

    def step(self, row: Row) -> None:
        """Take in a step; it is drawn at the next refresh."""
        assert self._stage is not None
        self._stage.add(row)
        self._stage.time_left.step_done(int(row["step"]))

    def evaluated(self, row: Row) -> None:
        """Take in an evaluation."""
        assert self._stage is not None
        self._stage.evaluations.append(row)

    def sampled(self, samples: Sequence[Sample]) -> None:
        """Show the last of the samples."""
        if self._stage is not None and samples:
            self._stage.sample = samples[-1]

    def warning(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(Text.assemble(("warning: ", "bold yellow"), text))

    def finished(self, summary: RunSummary) -> None:
        """Leave the last panel standing and print the summary below it."""
        self.close()
        print_summary(self._console, summary)

    def close(self) -> None:
        """Draw a last time and give the terminal back."""
        if self._live is not None:
            if self._stage is not None:
                self._stage.is_over = True
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        stage = self._stage
        if stage is None:
            return ""
        width = min(self._console.width, _WIDEST)
        inner = width - 4
        parts: list[RenderableType] = [_progress(stage, width=inner), Text(), _metrics(stage, width=inner)]
        if stage.evaluations:
            parts += [Text(), _accuracy(stage)]
        if stage.sample is not None:
            parts += [Text(), _sample(stage.sample, width=inner)]
        info = stage.info
        title = Text.assemble(
            (f" {info.experiment} ", "bold"),
            f" stage {info.number} of {info.num_stages}: ",
            (info.name, "bold"),
            f" ({info.algorithm}) ",
        )
        return Panel(Group(*parts), title=title, title_align="left", box=box.ROUNDED, width=width, border_style="dim")


def _progress(stage: _StageState, *, width: int) -> Table:
    info = stage.info
    done = int(stage.latest["step"]) if stage.latest is not None else 0
    grid = Table.grid(padding=(0, 2))
    left = "" if stage.is_over else stage.time_left.text()
    words = f"{duration(round(stage.time_left.elapsed_s))}{f', {left}' if left else ''}"
    bar = ProgressBar(total=info.max_steps, completed=done, width=max(10, width - 52))
    grid.add_row(Text(f"step {done:,} of {info.max_steps:,}"), bar, Text(words))
    if info.until:
        grid.add_row(Text("ends early", style="dim"), Text(f"when {info.until}", style="dim"), Text())
    return grid


def _metrics(stage: _StageState, *, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for heading in ("now", "at start", "change"):
        table.add_column(heading, justify="right", min_width=8)
    table.add_column("over the stage")
    steps = stage.steps()
    for name, key in _METRICS:
        values = [value for row in steps if (value := number_at(row, key)) is not None]
        if values:
            line = Text(sparkline(values, width=max(10, width - 56)), style="green" if name == "reward" else "blue")
            difference = change(values[-1], since=values[0])
            table.add_row(name, Text(number(values[-1]), style="bold"), number(values[0]), difference, line)
    if not table.row_count:
        table.add_row(Text("waiting for the first step", style="dim"))
    return table


def _accuracy(stage: _StageState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("accuracy on", no_wrap=True)
    for heading in ("sampled", "change", "greedy", "change", "after step"):
        table.add_column(heading, justify="right", min_width=7, no_wrap=True)
    table.add_column("so far", no_wrap=True)
    evaluations = stage.evaluations[:]
    for name in sorted({name for row in evaluations for name in evaluation_sets(row)}):
        measured = [row for row in evaluations if name in evaluation_sets(row)]
        cells: list[Text] = []
        for key in (f"eval/{name}/accuracy", f"eval/{name}/greedy"):
            last, first = number_at(measured[-1], key), number_at(measured[0], key)
            cells += [Text(number(last), style="bold"), _gain(last, first)]
        history = [value for row in measured if (value := number_at(row, f"eval/{name}/accuracy")) is not None]
        line = Text(sparkline(history, width=12), style="cyan")
        table.add_row(Text(name), *cells, Text(str(measured[-1]["step"])), line)
        further = (m for m in metrics_of_answers(measured[-1], name) if m != "accuracy")
        for metric in (*metrics_over_samples(measured[-1], name), *further):
            key = f"eval/{name}/{metric}"
            last, first = number_at(measured[-1], key), number_at(measured[0], key)
            history = [value for row in measured if (value := number_at(row, key)) is not None]
            line = Text(sparkline(history, width=12), style="cyan")
            gain = _gain(last, first, falls=metric in ("loss", "mse"))
            table.add_row(Text(f"  {metric}"), Text(number(last), style="bold"), gain, "", "", "", line)
    return table


def _gain(last: float | None, first: float | None, *, falls: bool = False) -> Text:
    """A change in its colour; what `falls` is better where it is less."""
    words = change(last, since=first)
    style = (
        "" if last is None or first is None or last == first else ("green" if (last > first) is not falls else "red")
    )
    return Text(words, style=style)


def _sample(sample: Sample, *, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    room = width - 12
    reward = f"reward {number(sample.reward)}, " if sample.reward is not None else ""
    grid.add_row("prompt", Text(one_line(sample.prompt.text, length=room * 2)))
    if sample.episode is None:
        grid.add_row("response", Text(one_line(sample.text, length=room * 3)))
    else:
        for role, said in episode_lines(sample.episode, length=room, most=_TURNS_SHOWN):
            grid.add_row(role, Text(said))
    grid.add_row("", Text(f"{reward}{sample.num_response_tokens} tokens, {sample.finish}", style="dim"))
    return grid
