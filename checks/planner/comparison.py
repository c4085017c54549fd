"""One measured figure beside what the model says of it, and which half of the sources it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.training import Job, fullest_stage, static_memory, train_lines
from compiler.planner.time.constants import Rates


class UnreadableError(Exception):
    """A row that the model cannot be asked about, and why."""


C = TypeVar("C", Constants, Rates)  # the constants of a model: of memory, or of time


@dataclass(frozen=True)
class Comparison(Generic[C]):
    """A figure.

    Args:
        quantity: "static", "peak", or what is counted and has no constant in it.
        source: what is fitted together or held out together.
        is_unseen: whether the row was found when the model stood, so that it is never fitted on.
        series: what was measured with one version of the software, by one publisher.
    """

    id: str
    name: str
    source: str
    quantity: str
    unit: str
    measured: float
    predict: Callable[[C], float]
    is_unseen: bool = False
    series: str = ""

    @property
    def is_fitted_on(self) -> bool:
        """Whether the constants are fitted on this source: on half of them, by a digest of their names."""
        return not self.is_unseen and sha256(self.source.encode()).digest()[0] % 2 == 0

    def error_pct(self, constants: C) -> float:
        """Return the error of the prediction, in percent of what was measured."""
        return 100 * (self.predict(constants) / self.measured - 1)


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why."""

    id: str
    why: str


Found = Comparison[C] | Skipped
Cells = Mapping[str, str]


def number(row: Cells, key: str, default: float | None = None) -> float:
    """Return a cell as a number, or the default where it is empty.  Raises: UnreadableError if there is neither."""
    try:
        return float(row.get(key) or "")
    except ValueError:
        if default is None:
            raise UnreadableError(f"{key} = {row.get(key)!r}") from None
        return default


def read_rows(table: list[dict[str, str]], compare: Callable[[Cells], Iterator[Comparison[C]]]) -> Iterator[Found[C]]:
    """Yield the comparisons of each row, or why there are none."""
    for row in table:
        try:
            yield from list(compare(row))
        except (UnreadableError, KeyError) as fault:
            yield Skipped(row.get("id") or row.get("model") or "?", str(fault))


def static_gib(job: Job, stage: int) -> Callable[[Constants], float]:
    """Return what says how much a GPU of a stage holds between two steps, in GiB."""
    return lambda constants: total(static_memory(job, stage, constants)) / GIB


def peak_gib(job: Job, stage: int | None = None) -> Callable[[Constants], float]:
    """Return what says how much a GPU holds at the fullest moment, of one stage or of the fullest one, in GiB."""

    def predict(constants: Constants) -> float:
        lines = fullest_stage(job, constants)[1] if stage is None else train_lines(job, stage, constants)
        return total(lines) / GIB

    return predict
