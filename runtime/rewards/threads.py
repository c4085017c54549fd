"""Calls in threads that nobody waits for at the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class _Kept:
    """A block whose exception is kept, to be raised where the thread is waited for."""

    def __init__(self, made: Future[Any]) -> None:
        self._made = made

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        """Keep an exception."""
        if error is not None:
            self._made.set_exception(error)
        return True


async def in_thread(call: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises, from a thread of its own.

    Where the wait is cancelled the thread goes on, and what it comes to is dropped.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def deliver(made: Future[T]) -> None:
        if not answer.done():
            fault = made.exception()
            answer.set_result(made.result()) if fault is None else answer.set_exception(fault)

    def run() -> None:
        made: Future[T] = Future()
        with _Kept(made):
            made.set_result(call())
        # The loop is closed if the run ended while this call was given up.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, made)

    threading.Thread(target=run, name="reward", daemon=True).start()
    return await answer
