"""The memory of all sequences, divided into lanes by length, and never more of it than was granted.

A lane holds rows of one width, so that a step attends to all of its sequences at once, and has as many rows as it
needs: it grows as sequences enter and is cut when others need the memory.  A sequence enters the narrowest lane in
which it can go on for a while, and moves to the next one when it has filled its row.  What is left over holds the
prefixes that finished sequences left.

All memory is counted in tokens: rows times width, and the lengths of the prefixes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from runtime.engines.rollout.native.cache import SequenceCache
from runtime.engines.rollout.native.expert_log import ExpertLog
from runtime.engines.rollout.native.prefixes import Held, Prefixes
from runtime.engines.rollout.native.sequences import Sequence as UnderWay

_NARROWEST: Final = 128
# A sequence enters a lane in which it can draw so many tokens, or all of its own, before it has to move.
_ROOM_TO_GROW: Final = 64
# Rows that hold no sequence cost a step as much as others do, and closing ranks costs a copy.
_IDLE_FRAC_MAX: Final = 1 / 16


@dataclass(kw_only=True, slots=True, eq=False)
class Lane:
    """Rows of one width and the sequences in them; a row between others may hold none.

    `log` says which experts their tokens visited, where somebody asks for it.
    """

    cache: SequenceCache
    log: ExpertLog | None = None
    rows: list[UnderWay | None] = field(default_factory=list)

    @property
    def num_live(self) -> int:
        """Sequences under way here."""
        return len(self.rows) - self.rows.count(None)

    @property
    def num_tokens(self) -> int:
        """Memory taken, used or not."""
        return self.cache.num_rows * self.cache.num_positions

    def live(self) -> Iterator[tuple[int, UnderWay]]:
        """Yield the sequences under way, each after its row."""
        return ((row, s) for row, s in enumerate(self.rows) if s is not None)

    def place(self, sequences: Sequence[UnderWay]) -> list[int]:
        """Give sequences rows, for which there is room, and return these."""
        holes = [row for row, s in enumerate(self.rows) if s is None]
        rows = (holes + list(range(len(self.rows), len(self.rows) + len(sequences))))[: len(sequences)]
        self.rows += [None] * (rows[-1] + 1 - len(self.rows))
        for row, sequence in zip(rows, sequences, strict=True):
            self.rows[row] = sequence
        return rows

    def num_positions(self, step: int) -> int:
        """Return the length of the longest sequence."""
        return max([s.position(step) + 1 for s in self.rows if s is not None], default=0)

    @property
    def first_end(self) -> int:
        """The step after which the first sequence has no token left to draw; there is one."""
        return min([s.ends_at for s in self.rows if s is not None])

    def close_ranks(self, step: int, *, idle_frac_max: float = _IDLE_FRAC_MAX) -> bool:
        """Move sequences from the end into rows between others that hold none; return whether rows changed hands."""
        num_before = len(self.rows)
        while self.rows and self.rows[-1] is None:
            self.rows.pop()
        num_live = self.num_live
        if len(self.rows) - num_live <= len(self.rows) * idle_frac_max:
            return len(self.rows) != num_before
        targets = [row for row in range(num_live) if self.rows[row] is None]
        sources = [row for row in range(num_live, len(self.rows)) if self.rows[row] is not None]
        self.cache.move(sources, targets, num_positions=self.num_positions(step))
        if self.log is not None:
            self.log.move(sources, targets)
        for source, target in zip(sources, targets, strict=True):
            self.rows[target] = self.rows[source]
        del self.rows[num_live:]
        return True

    def resize(self, num_rows: int, step: int) -> None:
        """Have another number of rows, at least as many as there are sequences."""
        if num_rows < len(self.rows):
            self.close_ranks(step, idle_frac_max=0.0)
        self.cache.resize(num_rows, num_kept=len(self.rows), num_positions=self.num_positions(step))
        if self.log is not None:
            self.log.resize(num_rows, num_kept=len(self.rows))


def lane_positions(num_positions: int) -> list[int]:
    """Return how many positions the rows of each lane hold, where the longest sequence has so many."""
    found: list[int] = []
    narrow = _NARROWEST
    while narrow < num_positions:
        found.append(narrow)
        narrow *= 2
    return [*found, num_positions]


class Place(NamedTuple):
    """Where a sequence is."""

    lane: Lane
    row: int
    sequence: UnderWay


class Lanes:
    """All lanes and the prefixes beside them.

    Args:
        make_cache: returns a cache of so many rows and positions.
        make_log: the same of a log of experts; None where nobody asks for them.
        num_positions: longest sequence.
        num_tokens: memory granted; the longest sequence fits.
        num_rows: sequences at once.
        is_exact: whether the lane of a sequence follows from its length alone.
    """

    def __init__(
        self,
        make_cache: Callable[[int, int], SequenceCache],
        make_log: Callable[[int, int], ExpertLog] | None = None,
        *,
        num_positions: int,
        num_tokens: int,
        num_rows: int,
        is_exact: bool = False,
    ) -> None:
        longest = min(num_positions, num_tokens)
        self.has_logs = make_log is not None
        self.lanes = [
            Lane(cache=make_cache(0, n), log=None if make_log is None else make_log(0, n))
            for n in lane_positions(longest)
        ]
        self._room_to_grow = 1 if is_exact else _ROOM_TO_GROW
        self.prefixes: Prefixes[UnderWay] = Prefixes()
        self._num_tokens = num_tokens
        self._num_rows = num_rows

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.lanes)

    def live(self) -> Iterator[Place]:
        """Yield the places of all sequences under way."""
        return (Place(lane, row, sequence) for lane in self.lanes for row, sequence in lane.live())

    @property
    def num_live(self) -> int:
        """Sequences under way."""
        return sum(lane.num_live for lane in self.lanes)

    @property
    def num_tokens(self) -> int:
        """Memory taken, by lanes and by prefixes."""
        return sum(lane.num_tokens for lane in self.lanes) + self.prefixes.num_tokens

    def lane_for(self, position: int, num_more: int) -> int:
        """Return the index of the narrowest lane in which a sequence can go on for a while.

        Args:
            position: of the token that is run next.
            num_more: tokens that are drawn from then on.
        """
        needed = position + 1 + min(num_more, self._room_to_grow)
        return next(i for i, lane in enumerate(self.lanes) if lane.cache.num_positions >= needed)

    @property
    def num_claimable(self) -> int:
        """Memory that others could have if nothing but the sequences under way were held."""
        return self._num_tokens - sum(lane.num_live * lane.cache.num_positions for lane in self.lanes)

    def width(self, lane_idx: int) -> int:
        """Return the memory of a row of a lane."""
        return self.lanes[lane_idx].cache.num_positions

    def make_room(self, wanted: Counter[int], step: int) -> None:
        """Have rows for so many more sequences in each lane; they fit into what is claimable."""
        needs = [lane.num_live + wanted[i] for i, lane in enumerate(self.lanes)]
        growing = [(lane, need) for lane, need in zip(self.lanes, needs, strict=True) if need > lane.cache.num_rows]
        if not growing:
            return
        extra = sum((need - lane.cache.num_rows) * lane.cache.num_positions for lane, need in growing)
        if extra > self._num_free():
            for lane, need in zip(self.lanes, needs, strict=True):
                if need < lane.cache.num_rows:
                    lane.resize(need, step)
        self.prefixes.evict(extra - self._num_free())
        for lane, need in growing:
            # Growing by halves keeps the copies few where many enter one by one.
            spare = self._num_free() - sum(max(0, n - g.cache.num_rows) * g.cache.num_positions for g, n in growing)
            more = min(lane.cache.num_rows // 2, max(0, spare) // lane.cache.num_positions)
            most = max(need, min(lane.cache.num_rows + more, self._num_rows))
            lane.resize(most, step)

    def hold(self, held: Held, step: int) -> None:
        """Keep a prefix if there is memory for it, or was for those that were used before it."""
        if self.prefixes.touch(held.tokens):
            return
        missing = len(held.tokens) - self._num_free()
        for lane in self.lanes if missing > 0 else ():
            if lane.num_live <= lane.cache.num_rows // 2:
                lane.resize(lane.num_live, step)
        missing = len(held.tokens) - self._num_free()
        if missing <= self.prefixes.num_tokens:
            self.prefixes.evict(missing)
            self.prefixes.hold(held)

    def clear(self) -> None:
        """Forget all that is held."""
        self.prefixes.clear()
        for lane in self.lanes:
            lane.rows.clear()
            lane.cache.clear()

    def _num_free(self) -> int:
        return self._num_tokens - self.num_tokens
