"""A call that is told of while it takes long, since nothing else can be done about it.

It runs in the thread of the step, so it is not ended: whoever looks at the run reads which function it is and at which
line, and decides.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

Warn = Callable[[str], None]

# Told after this time, and whenever twice as much as before has passed.
FIRST_S: Final = 60.0
CODE: Final = "RLC0754"


class ToldWhileSlow:
    """A block in which one call is made.

    Args:
        name: of the function, for messages.
        file: where it stands, to name the line.
        warn: is called in another thread.
    """

    def __init__(self, name: str, file: str, warn: Warn, *, first_s: float = FIRST_S) -> None:
        self._name, self._file, self._warn, self._first_s = name, file, warn, first_s
        self._thread_id = threading.get_ident()
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        """Begin to wait."""
        threading.Thread(target=self._wait, name="rlc-slow-call", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        """Say no more."""
        self._is_over.set()

    def _wait(self) -> None:
        started, next_s = time.monotonic(), self._first_s
        while not self._is_over.wait(started + next_s - time.monotonic()):
            line = self._line()
            at = f", at line {line} now" if line else ""
            self._warn(f"{CODE}: {self._name} has been running for {next_s:g} s{at}; the step waits for it")
            next_s *= 2

    def _line(self) -> int | None:
        frame = sys._current_frames().get(self._thread_id)  # there is no public name for it
        while frame is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        return None if frame is None else frame.f_lineno
