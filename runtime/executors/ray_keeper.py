"""The process that holds a Ray cluster of this machine: it starts the nodes, and ends all of them when it is let go.

It runs beside the driver, in a session of its own, so that Ctrl-C reaches the driver alone; and it adopts whatever its
descendants leave behind, so that it finds every process of the cluster.  Its standard input comes from the driver: one
line of JSON that says what to start, and then nothing until the driver ends, however it ends.

    python -m runtime.executors.ray_keeper < what to start
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_CHILD_SUBREAPER: Final = 36
_LOOK_AGAIN_S: Final = 0.02
# At this address, and at no other that is loopback as well, Ray listens to nobody from elsewhere.
_LOOPBACK: Final = "127.0.0.1"


def main() -> None:
    """Start what the first line asks for, say where it is, and end it when nobody writes to standard input any more."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: None)  # whoever started it ends, and that is what it waits for
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What Ray prints goes to the log, and never between the answers.
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    folder = Path(asked["folder"])
    try:
        answers.write(json.dumps({"address": _started(asked["nodes"], folder)}) + "\n")
        answers.flush()
        sys.stdin.read()
    finally:
        end_descendants()
        shutil.rmtree(folder, ignore_errors=True)
    # Ray's own handlers would look for the processes that have just ended.
    os._exit(0)


def _started(nodes: list[dict[str, Any]], folder: Path) -> str:
    """Start one node after another, the first of them as the head, and return the address of the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for node in nodes:
        cluster.add_node(
            node_ip_address=_LOOPBACK,
            include_dashboard=False,
            include_log_monitor=False,
            temp_dir=str(folder / "r"),
            **node,
        )
    address = cluster.address
    if address is None:
        raise RuntimeError("the head of the cluster has no address")
    return address


def end_descendants() -> None:
    """Kill every process that descends from this one, until there is none."""
    while found := list(_descendants()):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_LOOK_AGAIN_S)


def _descendants() -> Iterator[int]:
    parents = dict(_parents())
    own = os.getpid()
    for pid in parents:
        above = parents.get(pid)
        while above is not None and above != own:
            above = parents.get(above)
        if above == own:
            yield pid


def _parents() -> Iterator[tuple[int, int]]:
    """Yield every process and its parent."""
    for name in os.listdir("/proc"):
        with suppress(OSError, IndexError, ValueError):
            text = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace") if name.isdigit() else ""
            yield int(name), int(text.rpartition(")")[2].split()[1])


if __name__ == "__main__":
    main()
