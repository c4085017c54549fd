"""The groups of a stage that wait for a later step.

Three pools: `unfinished` groups have responses that were broken off and go on later, `finished` ones are judged and
were not needed yet, `used` ones were trained on and may be again.  Each is in the order in which its groups were drawn,
so what a step finds is a function of what earlier steps left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from compiler.ir.openness import Off
from stdlib.samples import Group
from stdlib.selectors._waiting import Waiting

Selector = Callable[[Sequence[Waiting], int], list[int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A group and the number of steps that have trained on it."""

    group: Group
    num_uses: int = 0


@dataclass(kw_only=True, slots=True)
class RolloutBuffer:
    """What one step leaves to the next."""

    unfinished: list[Kept] = field(default_factory=list)
    finished: list[Kept] = field(default_factory=list)
    used: list[Kept] = field(default_factory=list)

    def drop_stale(self, version: int, max_staleness_steps: int | Off) -> int:
        """Drop groups whose oldest token is older than that, and return how many there were."""
        if isinstance(max_staleness_steps, Off):
            return 0
        before = self.num_groups
        for pool in (self.unfinished, self.finished, self.used):
            pool[:] = [kept for kept in pool if staleness_steps(kept.group, version) <= max_staleness_steps]
        return before - self.num_groups

    @property
    def num_groups(self) -> int:
        """Groups in all pools."""
        return len(self.unfinished) + len(self.finished) + len(self.used)


def take(pool: list[Kept], count: int, *, version: int, select: Selector) -> list[Kept]:
    """Remove at most `count` groups from a pool and return them, as a selector says."""
    if count <= 0 or not pool:
        return []
    waiting = [
        Waiting(group=kept.group, staleness_steps=staleness_steps(kept.group, version), num_uses=kept.num_uses)
        for kept in pool
    ]
    places = select(waiting, count)
    taken = [pool[place] for place in places]
    chosen = set(places)
    pool[:] = [kept for place, kept in enumerate(pool) if place not in chosen]
    return taken


def put(pool: list[Kept], some: Iterable[Kept]) -> None:
    """Add groups to a pool, which stays in the order in which groups were drawn."""
    pool[:] = sorted([*pool, *some], key=lambda kept: drawn_at(kept.group))


def drawn_at(group: Group) -> tuple[int, int]:
    """Return step and number of a group, by which groups of one stage are ordered."""
    return group.samples[0].id.step, group.samples[0].id.group


def staleness_steps(group: Group, version: int) -> int:
    """Return by how many steps the weights that sampled a group's oldest token are behind; 0 if it has no token."""
    oldest = (min(segment.versions) for sample in group.samples for segment in sample.segments if segment.versions)
    return version - min(oldest, default=version)
