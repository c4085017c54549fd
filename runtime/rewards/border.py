"""The border to code that is not ours: whatever a reward function raises becomes one kind of fault."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType


class RewardCallError(Exception):
    """What a reward function raised, in words; `line` is the last line of its file that took part, if any did."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line


class RewardResultError(Exception):
    """What a reward function returned where numbers are due, in words."""


class ForeignCode:
    """A block that calls a reward.  Cancellation and interrupts pass; any other exception leaves as RewardCallError.

    An interrupt of the run comes to the main thread; one that is raised in another thread is the reward's own, and so
    is a cancellation that nobody asked this task for.

    Args:
        path: the file of the reward, whose line the fault names.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn an exception into a fault."""
        if error is not None and _is_own(error) and not isinstance(error, RewardCallError | RewardResultError):
            words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise RewardCallError(words, self._line(error, trace)) from error

    def _line(self, error: BaseException, trace: TracebackType | None) -> int | None:
        found = error.lineno if isinstance(error, SyntaxError) and error.filename == self._path else None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._path:
                found = trace.tb_lineno
            trace = trace.tb_next
        return found


def _is_own(error: BaseException) -> bool:
    """Whether an exception is the doing of the code that is called, and not of whoever ends the run."""
    if isinstance(error, (Exception, SystemExit)):
        return True
    if threading.current_thread() is not threading.main_thread():
        return True
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task is not None and not task.cancelling()
