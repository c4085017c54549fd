"""The processes below another one, from /proc: what a test kills, and what must not be left."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_PATIENCE_S = 60.0


def below(pid: int) -> set[int]:
    """Return the processes that descend from one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def words_of(pid: int) -> str:
    """Return the command line of a process, or nothing where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def wait_for_the_end_of(pids: set[int]) -> None:
    """Wait until none of the processes is there."""
    deadline = time.monotonic() + _PATIENCE_S
    while left := {pid for pid in pids if words_of(pid)}:
        assert time.monotonic() < deadline, [words_of(pid) for pid in left]
        time.sleep(0.05)
