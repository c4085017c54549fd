"""Takes the groups whose rewards vary most; of equal ones, and of those not yet judged, the one that came first.

The priority of a group is the variance of its rewards before shaping, over all samples: with rewards of 0 and 1 and a
share p of right answers it is p (1 - p), the learnability of a prompt, and its root is what the advantages of a group
are multiples of.
Paper: Rutherford et al., arXiv:2408.15099 (sampling for learnability); for reasoning with language models, Foster et
al., arXiv:2502.12272.  Departure: the best are taken, none is drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import pvariance

from stdlib.selectors._waiting import Waiting


def select(waiting: Sequence[Waiting], count: int) -> list[int]:
    """Return the places of at most `count` groups, the most urgent first."""
    return sorted(range(len(waiting)), key=lambda place: -priority(waiting[place].rewards()))[:count]


def priority(rewards: Sequence[float]) -> float:
    """Return the population variance of rewards, exact before it is rounded; 0 where there are none."""
    return pvariance(rewards) if rewards else 0.0
