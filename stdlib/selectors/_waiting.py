"""A group that waits in a buffer, as a selector sees it."""

from __future__ import annotations

from dataclasses import dataclass

from stdlib.samples import Group


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """One group, and what the buffer knows of it.

    staleness_steps: steps by which the weights that sampled its oldest token are behind the present ones.
    num_uses: steps that have trained on it.

    Of a group that is still sampled the unfinished samples have `finish = "abort"`, and none has a reward.
    """

    group: Group
    staleness_steps: int
    num_uses: int

    def rewards(self) -> list[float]:
        """Return the rewards before shaping of the samples that have been judged."""
        found = (s.reward if s.raw_reward is None else s.raw_reward for s in self.group.samples)
        return [reward for reward in found if reward is not None]
