"""Jobs done ahead of time in threads, and handed out in their order.

One thread draws jobs, and reads what has to be read in order; others do them.  Tokenizers let go of the interpreter
while they work, so these threads run beside a step; how many results are held is bounded.  Jobs go from thread to
thread in chunks, for each that is handed over costs time; where nothing is ready they go at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")

_POLL_S = 0.1
# What draws may be waiting for a function of the experiment's own.
_PATIENCE_S = 1.0


# Chunks that hold what may be ready: more would be handed over more often, fewer would come in bursts.
_CHUNKS = 16


class _Value(NamedTuple, Generic[T]):
    """What a job has returned."""

    value: T


class _Due(NamedTuple, Generic[K, T]):
    """What the jobs of a chunk are drawn as, and their results once they are there."""

    keys: list[K]
    results: Future[list[_Value[T] | BaseException]]


class Ahead(Generic[K, T]):
    """The results of jobs in their order.

    Args:
        jobs: what each job is drawn as, and the job; it is read in a thread of its own, and what it raises is raised
            where its next job was due.
        workers: threads that do jobs.
        most: results that are ready or under way.
    """

    def __init__(self, jobs: Iterator[tuple[K, Callable[[], T]]], *, workers: int, most: int) -> None:
        self._jobs = jobs
        self._size = max(1, most // _CHUNKS)
        # One chunk is being drawn and one handed out, beside those that wait.
        waiting = most if self._size == 1 else most // self._size - 2
        self._due: queue.Queue[_Due[K | None, T]] = queue.Queue(waiting)
        self._ready: Iterator[tuple[K | None, _Value[T] | BaseException]] = iter(())
        self._ends = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="rlc-rows")
        self._drawing = threading.Thread(target=self._draw, name="rlc-draw", daemon=True)
        self._drawing.start()

    def next(self) -> tuple[K | None, T]:
        """Return the next result, and wait for it if need be.  Raises: what the job, or drawing it, raised."""
        found = next(self._ready, None)
        while found is None:
            due = self._due.get()
            self._ready = zip(due.keys, due.results.result(), strict=True)
            found = next(self._ready, None)
        key, done = found
        if isinstance(done, BaseException):
            raise done
        return key, done.value

    def close(self) -> None:
        """End the threads; a job that is under way is not waited for."""
        self._ends.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drawing.join(_PATIENCE_S)

    def _draw(self) -> None:
        keys: list[K | None] = []
        jobs: list[Callable[[], T]] = []
        with _Failures(self._fail), ExitStack() as at_end:
            # What was drawn before a failure comes before it.
            at_end.callback(lambda: self._hand_over(keys, jobs))
            for key, job in self._jobs:
                keys.append(key)
                jobs.append(job)
                if len(jobs) >= self._size or self._due.empty():
                    if not self._hand_over(keys, jobs):
                        return
                    keys, jobs = list[K | None](), list[Callable[[], T]]()

    def _hand_over(self, keys: list[K | None], jobs: list[Callable[[], T]]) -> bool:
        return bool(jobs) and not self._ends.is_set() and self._put(_Due(keys, self._pool.submit(_done, jobs)))

    def _fail(self, error: BaseException) -> None:
        failed: Future[list[_Value[T] | BaseException]] = Future()
        failed.set_result([error])
        self._put(_Due([None], failed))

    def _put(self, due: _Due[K | None, T]) -> bool:
        while not self._ends.is_set():
            try:
                self._due.put(due, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


def _done(jobs: Sequence[Callable[[], T]]) -> list[_Value[T] | BaseException]:
    """Do the jobs of a chunk; one that fails fails where it is due, and those behind it are done all the same."""
    found: list[_Value[T] | BaseException] = []
    for job in jobs:
        with _Failures(found.append):
            found.append(_Value(job()))
    return found


class _Failures:
    """A block of a thread whose failures are told where somebody waits for it."""

    def __init__(self, tell: Callable[[BaseException], None]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Tell a failure, which ends here."""
        if error is not None:
            self._tell(error)
        return True
