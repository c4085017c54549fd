"""The lock of a run directory: one process at a time writes there.

The kernel holds it and lets go of it when the process ends, however it ends, so a run that was killed never has to be
unlocked by hand.  The file stays, empty but for the number of the process that took it last.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

LOCK = ".lock"


@contextlib.contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it is not there.

    Raises: SpecError RLC0662 if another process holds it, RLC0018 if the directory cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as fault:
        raise SpecError(not_writable(run_dir, fault)) from fault
    try:
        _take(handle, run_dir)
        yield
    finally:
        os.close(handle)


def not_writable(run_dir: Path, fault: OSError) -> Diagnostic:
    """Return the diagnostic of a run directory that refuses files."""
    way = Help("name another --run-dir, or repair the permissions of this one")
    return Diagnostic("RLC0018", f"{run_dir} cannot be written: {fault.strerror or fault}", help=(way,))


def _take(handle: int, run_dir: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as busy:
        holder = os.pread(handle, 20, 0).decode(errors="replace").strip()
        who = f"process {holder}" if holder.isdigit() else "another process"
        ways = (Help("wait until it ends, or name another --run-dir"),)
        raise SpecError(Diagnostic("RLC0662", f"{run_dir} is in use: {who} is running there", help=ways)) from busy
    except OSError as fault:
        raise SpecError(not_writable(run_dir, fault)) from fault
    number = f"{os.getpid()}\n".encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, number, 0)
