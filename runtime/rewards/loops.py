"""A bound on what is under way at once, in whichever event loop it is asked for."""

from __future__ import annotations

import asyncio


class LoopSlots:
    """A number of slots.  A semaphore belongs to one loop, and an executor may run each step in a loop of its own."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(number)

    def __call__(self) -> asyncio.Semaphore:
        """Return the slots of the running loop."""
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._slots = asyncio.Semaphore(self._number)
        return self._slots
