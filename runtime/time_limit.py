"""Functions of the experiment's own under a time limit: one call, or one item after another.

They run in threads, for nothing else can be given up while it waits.  A thread that never returns cannot be ended; it
does not keep the process alive, and whoever has given it up ends the run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Generic, TypeVar

T = TypeVar("T")


class LateError(Exception):
    """A function that took longer than it may."""


def within(call: Callable[[], T], *, timeout_s: float) -> T:
    """Return what a call returns, or raise what it raises.  Raises: LateError if it takes longer."""
    made: Future[T] = Future()

    def run() -> None:
        with _Told(made):
            made.set_result(call())

    threading.Thread(target=run, name="rlc-limited", daemon=True).start()
    return _result(made, timeout_s)


class Items(Generic[T]):
    """The items of an iterator that is made and read in a thread of its own, one whenever one is asked for.

    Args:
        make: makes the iterator, in that thread.
        timeout_s: longest time that one item may take.
    """

    def __init__(self, make: Callable[[], Iterator[T]], *, timeout_s: float) -> None:
        self._make, self._timeout_s = make, timeout_s
        self._asked: queue.SimpleQueue[Future[tuple[T, ...]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="rlc-items", daemon=True).start()

    def __iter__(self) -> Iterator[T]:
        """Yield the items; whoever leaves early ends the thread.  Raises: LateError, and what the iterator raises."""
        with ExitStack() as at_end:
            at_end.callback(lambda: self._asked.put(None))
            while True:
                made: Future[tuple[T, ...]] = Future()
                self._asked.put(made)
                item = _result(made, self._timeout_s)
                if not item:
                    return
                yield item[0]

    def _serve(self) -> None:
        items: Iterator[T] | None = None
        while (made := self._asked.get()) is not None:
            with _Told(made):
                items = self._make() if items is None else items
                made.set_result(next(((item,) for item in items), ()))


def _result(made: Future[T], timeout_s: float) -> T:
    try:
        return made.result(timeout_s)
    except TimeoutError as error:
        if made.done():
            raise
        raise LateError from error


class _Told(Generic[T]):
    """A block whose exception is told to whoever waits."""

    def __init__(self, made: Future[T]) -> None:
        self._made = made

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        """Tell an exception."""
        if error is not None:
            self._made.set_exception(error)
        return True
