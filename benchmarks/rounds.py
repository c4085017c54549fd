"""Contestants measured in turn, so that whatever else the machine does hits all of them.

A ratio is the median over rounds of the ratios within a round, not the ratio of medians: what slowed a whole round
down then cancels.  Rounds during which other processes used little of the machine are preferred.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import moment, wait_until_quiet

Measurement = Mapping[str, float]

# Other processes may keep so much of one core busy in a quiet round, and a median wants so many quiet rounds.
QUIET_CORES = 0.3
MIN_QUIET_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """Something to be measured: one call is one repetition, and returns named seconds."""

    name: str
    run: Callable[[], Measurement]


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How long to try.

    Args:
        rounds: quiet rounds wanted.
        patience_s: how long to go on for them, and to wait between rounds; there are at least `rounds` rounds.
    """

    rounds: int
    patience_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One repetition of every contestant, and the cores that others kept busy meanwhile."""

    found: Mapping[str, Measurement]
    foreign_cores: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """All rounds of a comparison."""

    rounds: Sequence[Round]

    @property
    def num_quiet(self) -> int:
        """How many rounds were quiet."""
        return sum(r.foreign_cores < QUIET_CORES for r in self.rounds)

    def counted(self) -> list[Round]:
        """Return the quiet rounds, or all if too few of them were quiet."""
        quiet = [r for r in self.rounds if r.foreign_cores < QUIET_CORES]
        return quiet if len(quiet) >= MIN_QUIET_ROUNDS else list(self.rounds)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return the median of each measured quantity of each contestant."""
        counted = self.counted()
        return {
            name: {key: statistics.median(r.found[name][key] for r in counted) for key in measured}
            for name, measured in counted[0].found.items()
        }

    def ratio(self, slow: str, quick: str, *, of: str) -> float:
        """Return how many times as long the first contestant takes: the median over rounds."""
        return statistics.median(r.found[slow][of] / r.found[quick][of] for r in self.counted())


def take_rounds(contestants: Sequence[Contestant], effort: Effort, *, pids: Sequence[int] = ()) -> Rounds:
    """Measure in rounds, every other one in reverse order, until enough of them were quiet or patience ends.

    Args:
        pids: running processes that count as ours.
    """
    for contestant in contestants:
        contestant.run()
    rounds: list[Round] = []
    begun, num_quiet = moment(pids).wall_s, 0
    while num_quiet < effort.rounds:
        left_s = effort.patience_s - (moment(pids).wall_s - begun)
        if left_s <= 0 and len(rounds) >= effort.rounds:
            break
        wait_until_quiet(limit_cores=QUIET_CORES, patience_s=max(0.0, left_s / 4), pids=pids)
        before = moment(pids)
        order = contestants if len(rounds) % 2 == 0 else contestants[::-1]
        found = {contestant.name: contestant.run() for contestant in order}
        foreign_cores = moment(pids).foreign_cores_since(before)
        rounds.append(Round(found={c.name: found[c.name] for c in contestants}, foreign_cores=foreign_cores))
        num_quiet += foreign_cores < QUIET_CORES
    return Rounds(rounds=rounds)
