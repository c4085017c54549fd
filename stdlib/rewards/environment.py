"""What the environment gave: the sum of the rewards of an episode's turns, or what a generate function returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stdlib.samples import Sample


def reward(sample: Sample) -> float:
    """Return it; an episode that failed before anything was given has 0.  Raises: ValueError if none was given."""
    episode = sample.episode
    if episode is None:
        raise ValueError("there is no environment that could have given a reward")
    if episode.reward is not None:
        return episode.reward
    if episode.ended_by:
        return 0.0
    raise ValueError("the environment ended the episode without giving a reward")
