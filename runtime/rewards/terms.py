"""What the runner asks of one reward, whichever way that is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from stdlib.samples import Group, Sample

Level = Literal["sample", "group", "batch"]


class Term(Protocol):
    """One reward, alone or one of several.  Every method raises JudgementError where it comes to no score."""

    @property
    def level(self) -> Level:
        """What one call is given."""
        ...

    async def of_sample(self, sample: Sample) -> float:
        """Return the score of a sample, at level `sample`."""
        ...

    async def of_group(self, group: Group) -> Sequence[float]:
        """Return the score of every sample of a group, at level `group`."""
        ...

    async def of_batch(self, groups: Sequence[Group]) -> Sequence[Sequence[float]]:
        """Return the scores of all groups of a step, at level `batch`."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Return what the term counts of its own, since the run began."""
        ...

    def close(self) -> None:
        """Let go of processes, connections and weights."""
        ...
