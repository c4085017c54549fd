"""Jobs done ahead of time in threads, and handed out in their order.

One thread draws jobs, and reads what has to be read in order; others do them.  Tokenizers let go of the interpreter
while they work, so these threads run beside a step; how many results are held is bounded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")

_POLL_S = 0.1
# What draws may be waiting for a function of the experiment's own.
_PATIENCE_S = 1.0


class _Due(NamedTuple, Generic[K, T]):
    """What a job is drawn as, and its result once it is there."""

    key: K
    result: Future[T]


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
        self._due: queue.Queue[_Due[K | None, T]] = queue.Queue(most)
        self._ends = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="rlc-rows")
        self._drawing = threading.Thread(target=self._draw, name="rlc-draw", daemon=True)
        self._drawing.start()

    def next(self) -> tuple[K | None, T]:
        """Return the next result, and wait for it if need be.  Raises: what the job, or drawing it, raised."""
        due = self._due.get()
        return due.key, due.result.result()

    def close(self) -> None:
        """End the threads; a job that is under way is not waited for."""
        self._ends.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drawing.join(_PATIENCE_S)

    def _draw(self) -> None:
        with _Failures(self._fail):
            for key, job in self._jobs:
                if self._ends.is_set() or not self._put(_Due(key, self._pool.submit(job))):
                    return

    def _fail(self, error: BaseException) -> None:
        failed: Future[T] = Future()
        failed.set_exception(error)
        self._put(_Due(None, failed))

    def _put(self, due: _Due[K | None, T]) -> bool:
        while not self._ends.is_set():
            try:
                self._due.put(due, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


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
