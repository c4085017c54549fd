"""A process that stands between this one and a server, and ends the server's whole tree when this one is gone.

    python -I server_guard.py GRACE_S PROGRAM [ARGUMENT ...]

It starts the program in a process group of its own, its output going to this script's standard error, prints the
program's process id, and ends everything that the program has started when the program ends, when its standard input
is closed, when its parent is gone, or at SIGTERM: SIGTERM to the group, SIGKILL after the grace, and on Linux SIGKILL
to what has left the group.  Where the guard itself is killed, the kernel ends the program.

It ends with the program's exit code, 128 + N for signal N, or 127 if the program cannot be started.  It loads nothing
but a little of the standard library, so that it is there at once and takes no memory to speak of.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

NOT_STARTED: Final = 127
_LOOK_EVERY_S: Final = 0.05
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
_ADOPT: Final = 36  # PR_SET_CHILD_SUBREAPER


class _Program:
    """The program and all that it has started."""

    def __init__(self, argv: list[str]) -> None:
        control = _process_control()
        control(_ADOPT, 1)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            start_new_session=True,
            preexec_fn=lambda: control(_DIE_WITH_PARENT, signal.SIGKILL),
        )
        self.pid = process.pid
        # Its end is read by `reap` alone: a second reader would find nothing.
        process.returncode = 0
        self.code: int | None = None

    def reap(self) -> bool:
        """Take note of what has ended, and say whether anything is left that is ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def end(self, grace_s: float) -> None:
        """End all of it."""
        deadline = time.monotonic() + grace_s
        self._signal(signal.SIGTERM)
        while self.reap() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S / 5)
        self._signal(signal.SIGKILL)
        while self.reap():
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_EVERY_S / 5)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def main() -> int:
    """Start the program and return its exit code."""
    parent = os.getppid()
    asked_to_end: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked_to_end.append(number))
    grace_s, argv = float(sys.argv[1]), sys.argv[2:]
    try:
        program = _Program(argv)
    except OSError as fault:
        sys.stderr.write(f"{argv[0]}: {fault.strerror}\n")
        return NOT_STARTED
    sys.stdout.write(f"{program.pid}\n")
    sys.stdout.flush()
    while program.code is None and not asked_to_end and os.getppid() == parent:
        with suppress(InterruptedError):
            if select.select([0], [], [], _LOOK_EVERY_S)[0] and not os.read(0, 1):
                break
        program.reap()
    program.end(grace_s)
    return 128 + signal.SIGKILL if program.code is None else program.code


def _process_control() -> Callable[[int, int], object]:
    """Return what asks the kernel for something about this process: on Linux, and elsewhere something that does not."""
    if sys.platform != "linux":
        return lambda option, value: None
    function = ctypes.CDLL(None).prctl
    return lambda option, value: function(option, value, 0, 0, 0)


def _children() -> list[int]:
    """Return our children, also those that we have adopted."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
