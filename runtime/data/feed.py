"""The rows that steps train on, drawn by position, and what became of those that were not used.

A position counts the rows drawn since the stage began, those that were left out included; from it and the plan follows
everything that comes, so a run resumes from one integer.  Rows that are read when they are drawn are read ahead of the
step that takes them, and how long a step waited all the same is a metric.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import TextSource
from runtime.data.ahead import Ahead
from runtime.data.lanes import Drawn, Lane
from runtime.data.mixture import Mixture
from runtime.data.reading import MalformedPolicy, Outcome, nothing_usable

T = TypeVar("T")

# Of a stream nobody knows how many rows an epoch has: so many unusable ones in a row are too many.
MAX_UNUSABLE = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken(Generic[T]):
    """Rows, and the position behind them."""

    rows: tuple[T, ...]
    position: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How rows are read.

    Args:
        workers: threads that turn rows into tokens.
        ahead: rows that are made ready ahead of the step that takes them; none where 0.
    """

    malformed: MalformedPolicy
    workers: int
    ahead: int


class Feed(Generic[T]):
    """Rows by position.

    Args:
        sources: what the spec says of each source.
        lanes: one for each source of a mixture, or one of all sources.
        mixture: which lane a position is of, or None with one lane.
        is_ready: whether all rows are there and can be used.
    """

    def __init__(
        self,
        sources: Sequence[TextSource[Never]],
        lanes: Sequence[Lane[T]],
        mixture: Mixture | None,
        pace: Pace,
        *,
        is_ready: bool = False,
    ) -> None:
        self._sources, self._lanes, self._mixture, self._pace = sources, lanes, mixture, pace
        self._is_ready = is_ready
        self._is_ahead = pace.ahead > 0 and not is_ready
        self._next: Callable[[], tuple[int | None, Outcome[T]]] | None = None
        self._ahead: Ahead[int, Outcome[T]] | None = None
        self._position = -1
        self._counts: Counter[str] = Counter()
        self._wait_s = 0.0

    def take(self, position: int, count: int) -> Taken[T]:
        """Return the next rows from a position on.

        Raises: SpecError for a row that cannot be used where that ends the run; RLC0626 if too many in a row are left
        out; and for what is wrong with a whole source.
        """
        started = time.perf_counter()
        follow = self._from(position)
        rows: list[T] = []
        unusable = 0
        with ExitStack() as on_fault:
            on_fault.callback(self.close)
            while len(rows) < count:
                source, outcome = follow()
                self._position += 1
                if outcome.fault is not None and (self._pace.malformed == "error" or outcome.concerns_all):
                    raise outcome.fault
                self._count(source, outcome)
                unusable = 0 if outcome.value is not None else unusable + 1
                if unusable >= MAX_UNUSABLE:
                    raise SpecError(nothing_usable(self._sources, unusable))
                if outcome.value is not None:
                    rows.append(outcome.value)
            on_fault.pop_all()
        self._wait_s += time.perf_counter() - started
        return Taken(rows=tuple(rows), position=self._position)

    def start(self, position: int) -> None:
        """Begin to read ahead from a position, before the first step asks."""
        self._from(position)

    def take_metrics(self) -> dict[str, float]:
        """Return what was counted since the last call: time waited, rows left out, rows of each of several sources."""
        found = {"time/data_wait_s": self._wait_s}
        if not self._is_ready:
            found |= {f"data/drawn_{name}": float(self._counts[name]) for name in ("malformed_rows", "overlong_rows")}
        if len(self._sources) > 1:
            names = [source.called for source in self._sources]
            found |= {f"data/rows/{name}": float(self._counts[f"rows/{name}"]) for name in names}
        self._counts.clear()
        self._wait_s = 0.0
        return found

    def close(self) -> None:
        """End what reads ahead."""
        if self._ahead is not None:
            self._ahead.close()
        self._next = self._ahead = None

    def _from(self, position: int) -> Callable[[], tuple[int | None, Outcome[T]]]:
        if self._next is None or self._position != position:
            self.close()
            self._position = position
            jobs = ((drawn.source, drawn.job) for drawn in self._drawn(position))
            if self._is_ahead:
                self._ahead = Ahead(jobs, workers=self._pace.workers, most=self._pace.ahead)
                self._next = self._ahead.next
            else:
                done = ((source, job()) for source, job in jobs)
                self._next = lambda: next(done)
        return self._next

    def _drawn(self, position: int) -> Iterator[Drawn[T]]:
        if self._mixture is None:
            yield from self._lanes[0].drawn(position)
            return
        coming: dict[int, Iterator[Drawn[T]]] = {}
        for turn in self._mixture.turns(position):
            if turn.source not in coming:
                coming[turn.source] = self._lanes[turn.source].drawn(turn.number)
            yield next(coming[turn.source])

    def _count(self, source: int | None, outcome: Outcome[T]) -> None:
        self._counts["overlong_rows"] += outcome.is_overlong
        self._counts["malformed_rows"] += outcome.fault is not None
        if outcome.value is not None and source is not None:
            self._counts[f"rows/{self._sources[source].called}"] += 1
