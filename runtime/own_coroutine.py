"""A coroutine of the experiment's own, in the loop that the whole run shares.

What runs in the loop can harm it in two ways that no timeout of asyncio ends: it holds the loop, since it does not
await what takes long, and it goes on after it was cancelled.  So such a coroutine is resumed step by step.  One that
holds the loop for too long is interrupted by the timer of the process, where the loop runs in the main thread; one that
catches its cancellation has some seconds to tidy up, is not resumed again, and whatever it returns is not taken.

Tasks that the coroutine itself begins are not watched.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Generator
from contextlib import suppress
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

# Longest time without an await: the engine and every other episode stand still in it.
HELD_S: Final = 30.0
# Time to tidy up after a cancellation.
GRACE_S: Final = 5.0
# Interrupts that are caught before the process is given up, and the time between them.
_MOST_INTERRUPTS: Final = 5
_AGAIN_S: Final = 1.0


class HeldLoopError(TimeoutError):
    """A coroutine did not await for too long; in words."""


class _Interrupt(BaseException):
    """Raised in what holds the loop.  No `except Exception` catches it."""


class OwnCoroutine(Generic[T]):
    """Awaited like the coroutine itself.

    Args:
        name: of the function, for messages.
        file: where it stands, to name the line.
        timeout_s: longest time that it may take as a whole, which whoever awaits it sees to.

    Raises, when it is awaited: HeldLoopError if it held the loop, and what the coroutine raises.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], *, name: str, file: str, timeout_s: float) -> None:
        self._coroutine = coroutine
        self._name, self._file = name, file
        self._held_s = min(timeout_s, HELD_S)
        self._is_given_up = False
        self._grace: asyncio.TimerHandle | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        """Resume it until it ends, or is to end and does not."""
        task = asyncio.current_task()
        assert task is not None
        num_cancelled = task.cancelling()
        try:
            returned = yield from self._resumed(task, num_cancelled)
        finally:
            if self._grace is not None:
                self._grace.cancel()
        if task.cancelling() > num_cancelled:
            raise asyncio.CancelledError
        return returned

    def _resumed(self, task: asyncio.Task[Any], num_cancelled: int) -> Generator[Any, Any, T]:
        coroutine = self._coroutine
        resume: partial[Any] = partial(coroutine.send, None)
        while True:
            watch = _Watch(self._name, self._held_s)
            try:
                with watch:
                    awaited = resume()
            except StopIteration as ended:
                return ended.value
            except _Interrupt as interrupt:
                # It may have come while the block was being left.
                watch.end()
                raise HeldLoopError(self._words(interrupt)) from None
            heard = _Heard()
            with heard:
                heard.value = yield awaited
            if heard.error is None:
                resume = partial(coroutine.send, heard.value)
                continue
            if isinstance(heard.error, asyncio.CancelledError):
                if self._is_given_up:
                    # That was a second one, of ours.
                    task.uncancel()
                    # One that catches this as well is never looked at again.
                    with suppress(RuntimeError, _Interrupt), _Watch(self._name, self._held_s):
                        coroutine.close()
                    raise heard.error
                self._begin_grace(task, num_cancelled)
            resume = partial(coroutine.throw, heard.error)

    def _begin_grace(self, task: asyncio.Task[Any], num_cancelled: int) -> None:
        def give_up() -> None:
            # A timeout of its own takes its cancellation back.
            self._grace = None
            if task.cancelling() > num_cancelled:
                self._is_given_up = True
                task.cancel()

        if self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(GRACE_S, give_up)

    def _words(self, interrupt: BaseException) -> str:
        line = _line_in(self._file, interrupt.__traceback__)
        at = f" at line {line}" if line else ""
        return (
            f"{self._name} held up the event loop for more than {self._held_s:g} s{at}: an async def has to await what "
            "takes long, and what cannot be awaited belongs in a plain def"
        )


class _Heard:
    """What the loop answered an await with: a value or an exception, which is the coroutine's to hear."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        """Keep an exception, unless nobody waits any more."""
        self.error = error
        return not isinstance(error, GeneratorExit)


class _Watch:
    """A block that is interrupted after some time, again and again until it ends; nothing outside of the main thread.

    Where the interrupts are caught, too, the process ends: nothing else could ever run again in it.
    """

    def __init__(self, name: str, held_s: float) -> None:
        self._name, self._held_s = name, held_s
        self._is_on = threading.current_thread() is threading.main_thread()
        self._is_over = False
        self._before: Any = None
        self._num_interrupts = 0

    def __enter__(self) -> None:
        """Start the timer."""
        if self._is_on:
            self._before = signal.signal(signal.SIGALRM, self._interrupt)
            signal.setitimer(signal.ITIMER_REAL, self._held_s, _AGAIN_S)

    def __exit__(self, *_: object) -> None:
        """Stop the timer."""
        self.end()

    def end(self) -> None:
        """Stop the timer, if it runs."""
        self._is_over = True
        if self._is_on:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_over:
            return
        self._num_interrupts += 1
        if self._num_interrupts > _MOST_INTERRUPTS:
            held_s = self._held_s + (self._num_interrupts - 1) * _AGAIN_S
            message = f"error[RLC0753]: {self._name} held up the event loop for {held_s:g} s and caught every interrupt"
            way = "help: leave bare `except` out of it, and run again: the run goes on from its last checkpoint"
            sys.stderr.write(f"{message}\n  {way}\n")
            sys.stderr.flush()
            os._exit(1)
        raise _Interrupt


def _line_in(file: str, trace: TracebackType | None) -> int | None:
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
