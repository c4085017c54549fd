"""A reward that asks something that stays open between calls, one sample a question."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.diagnostic import InternalError
from runtime.rewards.terms import Level
from stdlib.samples import Group, Sample


class SampleTerm:
    """The frame of such rewards: their level, and what they are never asked."""

    level: Level = "sample"

    async def of_group(self, group: Group) -> Sequence[float]:
        """Never asked: the level is `sample`."""
        raise InternalError(f"a reward of level sample was given a group of {len(group.samples)}")

    async def of_batch(self, groups: Sequence[Group]) -> Sequence[Sequence[float]]:
        """Never asked: the level is `sample`."""
        raise InternalError(f"a reward of level sample was given {len(groups)} groups")

    def close(self) -> None:
        """Nothing is open."""


def where(sample: Sample) -> str:
    """Return how messages name the row of a sample."""
    return f"on {sample.prompt.source}"
