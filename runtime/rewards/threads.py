"""Calls in threads that nobody waits for at the end of the process.

A thread that is given up cannot be ended, so there may be some of them and no more: those that are left behind keep
memory and processor time of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

T = TypeVar("T")

# Calls that were given up and have not returned.
GIVEN_UP_MAX: Final = 64
_NAME: Final = "reward"
_GIVEN_UP: Final = "given up: "


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


async def in_thread(call: Callable[[], T], *, name: str = "a call") -> T:
    """Return what a call returns, or raise what it raises, from a thread of its own.

    Where the wait is cancelled the thread goes on, and what it comes to is dropped.

    Args:
        name: what the call is of, for the message.

    Raises: SpecError RLC0751 if as many calls as may be were given up before and still run.
    """
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(_GIVEN_UP)]
    if len(left) >= GIVEN_UP_MAX:
        raise _too_many(left)
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

    thread = threading.Thread(target=run, name=_NAME, daemon=True)
    thread.start()
    try:
        return await answer
    except asyncio.CancelledError:
        thread.name = f"{_GIVEN_UP}{name}"
        raise


def _too_many(names: Sequence[str]) -> SpecError:
    counts = Counter(name.removeprefix(_GIVEN_UP) for name in names)
    (name, most), *_ = counts.most_common(1)
    fact = f"{len(names)} calls that took too long were given up and still run, {most} of them of {name}"
    way = Help("let it end by itself, with a time limit on what it waits for, or make it an async def")
    return SpecError(Diagnostic("RLC0751", fact, help=(way,)))
