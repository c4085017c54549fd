"""The seam between a run and the person watching it, and the estimate of how long a stage will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.telemetry.rows import Row, is_evaluation
from runtime.telemetry.summary import RunSummary
from runtime.telemetry.wording import duration
from stdlib.samples import Sample

Clock = Callable[[], float]

_WINDOW_STEPS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StageInfo:
    """What is known of a stage when it starts.

    Args:
        number: of the stage, from 1, of `num_stages`.
        max_steps: the bound of the stage.
        until: the condition that ends it early, as text; empty where there is none.
        past: rows of this stage from before a resume.
    """

    experiment: str
    number: int
    num_stages: int
    name: str
    algorithm: str
    max_steps: int
    until: str = ""
    past: Sequence[Row] = ()

    @property
    def steps_done(self) -> int:
        """Steps that were done before a resume."""
        return max((int(row["step"]) for row in self.past if not is_evaluation(row)), default=0)


class View(Protocol):
    """Shows a run while it happens."""

    def stage_started(self, info: StageInfo) -> None:
        """Begin a stage; what was shown of the one before is finished."""
        ...

    def step(self, row: Row) -> None:
        """Show a step."""
        ...

    def evaluated(self, row: Row) -> None:
        """Show an evaluation."""
        ...

    def sampled(self, samples: Sequence[Sample]) -> None:
        """Show a sampled text, where there is room for one."""
        ...

    def warning(self, text: str) -> None:
        """Show something that the person should know; it stays visible."""
        ...

    def finished(self, summary: RunSummary) -> None:
        """Show the summary, its last line saying where everything is, and give the terminal back."""
        ...

    def close(self) -> None:
        """Give the terminal back, also after a failure; closing twice is fine."""
        ...


class TimeLeft:
    """Estimates the rest of a stage from its latest steps, the evaluations between them included."""

    def __init__(self, info: StageInfo, *, clock: Clock) -> None:
        self._info = info
        self._clock = clock
        self._started = clock()
        self._marks: list[tuple[int, float]] = [(info.steps_done, self._started)]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stage started or was resumed."""
        return self._clock() - self._started

    def step_done(self, step: int) -> None:
        """Note when a step was done; the first step, which warms things up, starts the measurement anew."""
        if len(self._marks) == 2 and self._marks[0][0] == self._info.steps_done:
            del self._marks[0]
        self._marks.append((step, self._clock()))
        del self._marks[: -_WINDOW_STEPS - 1]

    def text(self) -> str:
        """Return `3m 05s left`, with `at most` where the stage may end early, or nothing before there is a measure."""
        (first_step, first_s), (last_step, last_s) = self._marks[0], self._marks[-1]
        if last_step == first_step:
            return ""
        remaining = self._info.max_steps - last_step
        if remaining <= 0:
            return ""
        per_step_s = (last_s - first_s) / (last_step - first_step)
        left_s = max(0.0, per_step_s * remaining - (self._clock() - last_s))
        return f"{'at most ' if self._info.until else ''}{duration(round(left_s))} left"
