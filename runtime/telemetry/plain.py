"""Plain lines for a log file or a pipe: no colour, no cursor movement, ASCII but for sampled names.

Steps are thinned to one line every few seconds; the first and last step of a stage, evaluations and warnings are
always printed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from compiler.diagnostics.diagnostic import SpecError
from runtime.telemetry.episode_lines import episode_lines
from runtime.telemetry.metrics_file import write_failed
from runtime.telemetry.rows import Row, evaluation_sets, metrics_of_answers, metrics_over_samples, number_at
from runtime.telemetry.summary import RunSummary, summary_text
from runtime.telemetry.view import Clock, StageInfo, TimeLeft
from runtime.telemetry.wording import change, interval, number, one_line
from stdlib.samples import Sample

_EPISODE_LINE = 160
_TURNS_SHOWN = 12

_SHOWN = (
    ("reward", "reward/mean"),
    ("tokens", "rollout/response_tokens_mean"),
    ("kl", "train/kl"),
    ("entropy", "train/entropy"),
    ("loss", "train/loss"),
    ("tok/s", "time/tokens_per_s"),
)


class PlainView:
    """Prints lines to a stream."""

    def __init__(self, stream: TextIO, *, clock: Clock, interval_s: float, ascii_only: bool = False) -> None:
        """Print to `stream`, at least `interval_s` seconds between two lines about steps."""
        self._stream = stream
        self._encoding = "ascii" if ascii_only else getattr(stream, "encoding", None) or "utf-8"
        self._clock = clock
        self._interval_s = interval_s
        self._info: StageInfo | None = None
        self._time_left: TimeLeft | None = None
        self._printed_s = -interval_s
        self._first_evaluation: Row = {}
        self._has_shown_episode = False

    def stage_started(self, info: StageInfo) -> None:
        """Print a headline."""
        self._info, self._time_left = info, TimeLeft(info, clock=self._clock)
        self._has_shown_episode = False
        self._printed_s = self._clock() - self._interval_s
        evaluations = [row for row in info.past if evaluation_sets(row)]
        self._first_evaluation = evaluations[0] if evaluations else {}
        bound = f"at most {info.max_steps} steps, until {info.until}" if info.until else f"{info.max_steps} steps"
        resumed = f", resumed after step {info.steps_done}" if info.past else ""
        self._print(
            f"== {info.experiment}: stage {info.number} of {info.num_stages}, {info.name} ({info.algorithm}), "
            f"{bound}{resumed}"
        )

    def step(self, row: Row) -> None:
        """Print a line, unless one was printed just before."""
        assert self._info is not None
        assert self._time_left is not None
        step = int(row["step"])
        self._time_left.step_done(step)
        is_edge = step in (self._info.steps_done + 1, self._info.max_steps)
        if not is_edge and self._clock() - self._printed_s < self._interval_s:
            return
        self._printed_s = self._clock()
        parts = [f"{name} {number(value)}" for name, key in _SHOWN if (value := number_at(row, key)) is not None]
        line = f"{self._info.name} {step}/{self._info.max_steps}  {'  '.join(parts)}"
        left = self._time_left.text()
        self._print(f"{line}  ({left})" if left else line)

    def evaluated(self, row: Row) -> None:
        """Print a line for each held-out set, with the change since the first evaluation of the stage."""
        self._first_evaluation = self._first_evaluation or row
        for name in evaluation_sets(row):
            parts = []
            kinds = [("sampled", "accuracy"), ("greedy", "greedy")]
            kinds += [(metric, metric) for metric in metrics_over_samples(row, name)]
            kinds = [(metric, metric) for metric in metrics_of_answers(row, name)] or kinds
            for kind, metric in kinds:
                key = f"eval/{name}/{metric}"
                value = number_at(row, key)
                if value is None:
                    continue
                difference = change(value, since=number_at(self._first_evaluation, key))
                since = f" ({difference})" if row is not self._first_evaluation else ""
                bounds = interval(number_at(row, f"{key}_low"), number_at(row, f"{key}_high"))
                parts.append(f"{kind} {number(value)}{bounds}{since}")
            self._print(f"{row['stage']} eval after step {row['step']}: {name} {', '.join(parts)}")

    def sampled(self, samples: Sequence[Sample]) -> None:
        """Print the first episode of a stage, where there are any; transcripts hold all texts."""
        if not samples or samples[0].episode is None or self._has_shown_episode:
            return
        self._has_shown_episode = True
        sample, name = samples[0], self._info.name if self._info else ""
        self._print(f"{name} an episode:")
        self._print(f"  prompt: {one_line(sample.prompt.text, length=_EPISODE_LINE)}")
        for role, said in episode_lines(samples[0].episode, length=_EPISODE_LINE, most=_TURNS_SHOWN):
            self._print(f"  {role}: {said}" if role else f"  {said}")

    def warning(self, text: str) -> None:
        """Print the warning."""
        self._print(f"warning: {text}")

    def finished(self, summary: RunSummary) -> None:
        """Print the summary without colour."""
        self._print(summary_text(summary, encoding=self._encoding).rstrip("\n"))
        self.close()

    def close(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def _print(self, text: str) -> None:
        shown = text.encode(self._encoding, errors="replace").decode(self._encoding)
        try:
            self._stream.write(shown + "\n")
            self._stream.flush()
        except OSError as fault:
            # What the stream still holds has to go somewhere, or the end of the process fails on it.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            # Of a pipe, whoever reads has read enough, and the run goes on.
            if not isinstance(fault, BrokenPipeError):
                raise SpecError(write_failed(Path("standard output"), fault)) from fault
