"""What one input may cost: processor time and memory, measured so that a busy machine changes nothing."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CPU_S = 2.0
MEMORY_MIB = 256
# What has not ended after so many times its limit is stopped where it is.
_HANGS = 3


class TooSlowError(Exception):
    """An input took more processor time than any input may."""


class TooLargeError(Exception):
    """An input took more memory than any input may."""


class HangError(BaseException):
    """Raised inside whatever does not end; no handler of exceptions takes it for one of its own."""


@contextmanager
def limited(cpu_s: float = CPU_S) -> Iterator[None]:
    """Run a block within its limits.

    Args:
        cpu_s: seconds of processor time.

    Raises: TooSlowError, TooLargeError behind the block, HangError inside it.
    """
    before = _peak_mib()
    previous = signal.signal(signal.SIGVTALRM, _hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s * _HANGS)
    start = time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    spent = time.process_time() - start
    if spent > cpu_s:
        raise TooSlowError(f"{spent:.1f} s of processor time, at most {cpu_s:g} s")
    grown = _peak_mib() - before
    if grown > MEMORY_MIB:
        raise TooLargeError(f"{grown} MiB more than before, at most {MEMORY_MIB} MiB")


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError("does not end")


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
