"""Keeps groups whose rewards differ: where all are equal every advantage is zero, and the group teaches nothing.

Rewards are those before shaping: a penalty for length does not make a group of right answers worth keeping.
Paper: DAPO, arXiv:2503.14476, section 3.2 (dynamic sampling).
"""

from __future__ import annotations

from collections.abc import Sequence


def keeps(rewards: Sequence[float]) -> bool:
    """Return whether a group with these rewards, one for each sample, is trained on."""
    return min(rewards) != max(rewards)
