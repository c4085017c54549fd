"""A process that has loaded the runtime once and forks a real process for each `rlc` command line that it is given.

Loading torch takes seconds, a tiny run less than one.  Each fork is a process of its own: it is killed with SIGKILL,
interrupted and waited for like any other.  Requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from rlc.cli.main import main
from tests.support.gates import Gate, install


def serve() -> None:
    """Answer `start` with the number of a process, and `wait` with how it ended, until there are no more requests."""
    import_module("runtime.driver")
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        starts = request["ask"] == "start"
        answer = {"pid": _start(request)} if starts else {"status": os.waitpid(request["pid"], 0)[1]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _start(request: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        _end(request)
    return pid


def _end(request: dict[str, Any]) -> None:
    code = None
    try:
        code = _run(request)
    finally:
        if code is None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(99 if code is None else code)


def _run(request: dict[str, Any]) -> int:
    os.chdir(request["cwd"])
    _redirect(0, os.devnull, os.O_RDONLY)
    _redirect(1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _redirect(2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if request["gate"] is not None:
        folder, place, number = request["gate"]
        install(Gate(Path(folder), place, number))
    if request["file_limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], request["file_limit"]))
    return main(request["argv"])


def _redirect(number: int, path: str, flags: int) -> None:
    handle = os.open(path, flags, 0o644)
    os.dup2(handle, number)
    os.close(handle)


if __name__ == "__main__":
    serve()
