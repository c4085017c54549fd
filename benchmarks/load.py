"""What else a machine was doing while something was timed.

A shared machine slows its processes down by more than the time that it takes from them: two threads that wait for each
other wait for the slower one.  So a measurement knows how many cores other processes kept busy, and prefers quiet
ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# In /proc/stat: user nice system idle iowait irq softirq steal.
_IDLE, _IOWAIT, _NUM_KINDS = 3, 4, 8
_POLL_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Seconds on the clock, and core-seconds that the whole machine and that we have used up to here."""

    wall_s: float
    machine_s: float
    own_s: float

    def foreign_cores_since(self, before: Moment) -> float:
        """Return how many cores others kept busy on average; reads to a hundredth of a second of CPU time."""
        foreign_s = (self.machine_s - before.machine_s) - (self.own_s - before.own_s)
        return max(0.0, foreign_s) / max(self.wall_s - before.wall_s, 1e-9)


def moment(pids: Sequence[int] = ()) -> Moment:
    """Return the present moment.  Ours are this process, the children it has waited for, and `pids`."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=10)[1:9]]
    busy = sum(ticks[:_NUM_KINDS]) - ticks[_IDLE] - ticks[_IOWAIT]
    own_s = sum(os.times()[:4]) + sum(_used_by(pid) for pid in pids)
    return Moment(wall_s=time.perf_counter(), machine_s=busy / _ticks_per_s(), own_s=own_s)


def wait_until_quiet(*, limit_cores: float, patience_s: float, pids: Sequence[int] = ()) -> float:
    """Wait until others use less than `limit_cores`, for `patience_s` at most; return the seconds waited."""
    start = moment(pids)
    before = start
    while before.wall_s - start.wall_s < patience_s:
        time.sleep(_POLL_S)
        now = moment(pids)
        if now.foreign_cores_since(before) < limit_cores:
            return now.wall_s - start.wall_s
        before = now
    return before.wall_s - start.wall_s


def _used_by(pid: int) -> float:
    # The name of a program may hold blanks and brackets; after the last bracket come fields from the third on.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _ticks_per_s()


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK")
