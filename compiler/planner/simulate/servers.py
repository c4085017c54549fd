"""Servers with one queue: who comes first is served first, by whoever is free first."""

from __future__ import annotations

from heapq import heapreplace
from math import log
from random import Random


class Servers:
    """So many servers, each with one customer at a time."""

    def __init__(self, count: int) -> None:
        self._free_at = [0.0] * count
        self.waited_s = 0.0
        self.served = 0

    def serve(self, now: float, seconds: float) -> float:
        """Return when a customer who comes now, and after all others so far, has been served."""
        start = max(now, self._free_at[0])
        heapreplace(self._free_at, start + seconds)
        self.waited_s += start - now
        self.served += 1
        return start + seconds


def longest_of(calls: int, mean_s: float, random: Random) -> float:
    """Return the longest of so many calls whose seconds are exponentially distributed."""
    return -mean_s * log(max(1e-300, 1 - random.random() ** (1 / calls)))


def slowest_episode(episodes: int, waits: float, mean_s: float, random: Random) -> float:
    """Return the longest of so many episodes, each with waits of exponentially distributed seconds in a row."""
    return max(random.gammavariate(waits, mean_s) for _ in range(episodes))
