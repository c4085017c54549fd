"""Keeps groups that are neither too easy nor too hard: whose mean reward lies between two bounds, both included.

Rewards are those before shaping.
Paper: PRIME, arXiv:2502.01456 (online prompt filtering by accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence


def keeps(rewards: Sequence[float], *, low: float, high: float) -> bool:
    """Return whether a group with these rewards, one for each sample, is trained on."""
    return low <= sum(rewards) / len(rewards) <= high
