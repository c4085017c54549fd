"""Environments whose tools somebody else runs: each answer takes a while, and none of this machine; or no while."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from stdlib.episodes import Observation

LEAST_S: Final = 0.05
MOST_S: Final = 0.2
SEED: Final = 0


class _Answers:
    """Answers every turn with the same words, after a while."""

    def __init__(self, row: int, *, waits: bool) -> None:
        self._row = row
        self._waits = waits

    async def step(self, turn: Any) -> Observation:
        """Return the answer.  How long it takes is drawn by the row, the number of the turn, and what was said."""
        if self._waits:
            draw = random.Random(f"{SEED} {self._row} {turn.index} {turn.text}")
            await asyncio.sleep(draw.uniform(LEAST_S, MOST_S))
        return Observation(text="=12345=")


def slow(context: Any) -> _Answers:
    """Begin an episode whose tools take 50 to 200 ms."""
    return _Answers(context.prompt.row, waits=True)


def at_once(context: Any) -> _Answers:
    """Begin an episode whose tools take no time."""
    return _Answers(context.prompt.row, waits=False)
