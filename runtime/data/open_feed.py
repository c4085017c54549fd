"""The feed of a stage: its sources opened, judged as the plan says, and put in the order that the plan says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Never, TypeVar

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import (
    Data,
    DemonstrationData,
    PreferenceData,
    PreferenceSource,
    ScoredData,
    ScoredSource,
    TextSource,
    TrainSource,
)
from compiler.ir.openness import Off
from runtime.data.feed import Feed, Pace
from runtime.data.jsonl import Dropped, Unread
from runtime.data.lanes import IndexedLane, Lane, ReadyLane, StreamLane
from runtime.data.lengths import Limit
from runtime.data.mixture import Mixture
from runtime.data.order import DataOrder
from runtime.data.reading import Effort, Loaded, Outcome, Reading, load_all, nothing_usable, read_one
from runtime.data.sources import IndexedRows, check_source, open_indexed, open_rows, streams

T = TypeVar("T")
S = TypeVar("S", bound="TextSource[Never]")
AnyData = Data[Never] | DemonstrationData[Never] | PreferenceData[Never] | ScoredData[Never]


class Opened(NamedTuple, Generic[T]):
    """A feed, and what was found where all rows were judged at the start.

    `rows` are those that were; `num_rows` counts them, or those of sources with an end, and is 0 where one has none.
    """

    feed: Feed[T]
    rows: Sequence[T]
    num_rows: int
    num_overlong: int
    dropped: Dropped


class Needs(NamedTuple):
    """What a stage asks of its rows: how long they may be, how many a step takes, and the seed of their order."""

    limit: Limit
    rows_per_step: int
    seed: int


def open_feed(
    data: AnyData,
    sources: Sequence[S],
    reading: Reading[T, S],
    needs: Needs,
    *,
    root: Path,
) -> Opened[T]:
    """Return the feed of a stage's training data; paths are relative to `root`.

    Raises: SpecError with every fault of rows that are judged at the start, and of sources as a whole.
    """
    return _Opening(data, sources, reading, needs, root).opened()


class _Opening(Generic[T, S]):
    def __init__(
        self,
        data: AnyData,
        sources: Sequence[S],
        reading: Reading[T, S],
        needs: Needs,
        root: Path,
    ) -> None:
        self._data, self._sources, self._reading, self._needs, self._root = data, sources, reading, needs, root
        self._num_indexed = 0

    def opened(self) -> Opened[T]:
        """The feed with its lanes."""
        weights = [_weight(source) for source in self._sources]
        mixture = Mixture(weights, seed=self._needs.seed) if len(weights) > 1 and all(weights) else None
        every = range(len(self._sources))
        later = [at for at in every if self._data.check == "as_read" or streams(self._sources[at])]
        found = self._at_start([at for at in every if at not in later])
        if mixture is None:
            lanes = [self._later(list(every), self._needs.seed) if later else self._ready(found, list(every), -1)]
        else:
            # Each lane of a mixture has an order of its own.
            lanes = [
                self._later([at], self._needs.seed ^ (at + 1)) if at in later else self._ready(found, [at], at)
                for at in every
            ]
        pace = Pace(
            malformed=self._data.malformed_rows,
            workers=self._data.workers,
            ahead=self._data.prefetch * self._needs.rows_per_step,
        )
        feed = Feed(self._sources, lanes, mixture, pace, is_ready=not later)
        has_stream = any(map(streams, self._sources))
        num_rows = 0 if has_stream else len(found.rows) + self._num_indexed
        return Opened(feed, found.rows, num_rows, found.num_overlong, found.dropped)

    def _at_start(self, at: Sequence[int]) -> Loaded[T]:
        """All rows of some sources, each with the index of its source in the stage."""
        effort = Effort(malformed=self._data.malformed_rows, workers=self._data.workers)
        chosen = [self._sources[index] for index in at]
        found = load_all(chosen, self._reading, self._needs.limit, root=self._root, effort=effort)
        found.origins = [at[origin] for origin in found.origins]
        return found

    def _ready(self, found: Loaded[T], at: Sequence[int], of_mixture: int) -> Lane[T]:
        """The lane of sources whose rows are there."""
        kept = [(row, origin) for row, origin in zip(found.rows, found.origins, strict=True) if origin in at]
        if not kept:
            raise SpecError(
                nothing_usable([self._sources[index] for index in at], found.num_overlong + found.dropped.count)
            )
        seed = self._needs.seed if of_mixture < 0 else self._needs.seed ^ (of_mixture + 1)
        order = DataOrder(len(kept), seed=seed, shuffle=self._data.shuffle)
        return ReadyLane([row for row, _ in kept], [origin for _, origin in kept], order)

    def _later(self, at: Sequence[int], seed: int) -> Lane[T]:
        """The lane of a stream, or of sources whose rows are read when they are drawn."""
        first = self._sources[at[0]]
        if streams(first):
            columns = self._reading.columns(first)
            check_source(first, columns, root=self._root)
            window = self._data.shuffle_window if self._data.shuffle else 0
            rows = open_rows(first, columns, root=self._root)
            return StreamLane((at[0], first), rows, self._read, seed=seed, window=window)
        sizes: list[tuple[int, IndexedRows, int]] = []
        for index in at:
            source = self._sources[index]
            opened = open_indexed(source, self._reading.columns(source), root=self._root)
            sizes.append((index, opened, opened.load_index()))
        count = sum(size for _, _, size in sizes)
        self._num_indexed += count
        return IndexedLane(sizes, DataOrder(count, seed=seed, shuffle=self._data.shuffle), self._read)

    def _read(self, unread: Unread, source: int, number: int) -> Outcome[T]:
        return read_one(unread, self._sources[source], number, self._reading, self._needs.limit)


def _weight(source: TextSource[Never]) -> float:
    if isinstance(source, (TrainSource, PreferenceSource, ScoredSource)) and not isinstance(source.weight, Off):
        return source.weight
    return 0.0
