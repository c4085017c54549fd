"""The sandbox: one program, in a process that can do nothing but compute, read its own folder, and print.

Threat model.  The program is the policy's and may be hostile; it is to harm neither this machine, nor other processes,
nor anybody on the network, and it is to be gone when its time is over or this process is.  It gets a process of its
own, which confines itself before the program's first line:

- files: Landlock opens its folder, Python's own library and shared libraries, read-only, and four devices; `/etc`,
  `/proc`, home folders, the data of the run and its labels cannot be opened, by whatever path or link.  That a file
  exists can still be found out.
- writing: nothing can be created or changed, and its output is cut at a size, so that no disk fills up.  With
  `scratch_mib` its folder lies in memory, of that size and with a bounded number of files, in a namespace of its own.
- network, processes, threads, signals to others, ptrace, other processes' memory, mounts, namespaces: seccomp refuses
  the system calls; it lists what is allowed, so what a later kernel adds is refused too.
- time, memory, open files: resource limits that cannot be raised, and a deadline that this process keeps.
- the end of this process: the kernel then ends the program, which cannot ask it not to.

Not in the model: faults of the kernel itself, what can be told from timing, and a program that is written against the
tests.  Where tests are Python statements they run beside the program, which could look for them; tests that are data,
inputs and outputs, cannot be cheated so, as outputs never enter the process.

Needs Linux 5.13 or later with Landlock, on x86-64 or arm64; elsewhere nothing is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

from runtime.sandbox.inside import UNCONFINED

_ROOT = str(Path(__file__).resolve().parents[2])
_START = f"import sys; sys.path.insert(0, {_ROOT!r}); from runtime.sandbox.inside import main; main()"
_TOKEN_BYTES = 16


class NoSandboxError(Exception):
    """A process that could not be confined, in words; its program was not run."""


class Limits(NamedTuple):
    """What one program may use; a `scratch_mib` of 0 is a folder that cannot be written to."""

    timeout_s: float
    memory_mib: int
    output_kib: int
    scratch_mib: int = 0


class Ended(NamedTuple):
    """How a program ended: in time or not, with which exit code (negative for a signal), and what it printed.

    `returned` are the results of the calls that were asked for, None where they are not all there; `passed` says that
    the checks ran to their end.
    """

    in_time: bool
    code: int
    output: str
    returned: list[object] | None = None
    passed: bool = False


class Sandbox:
    """Runs programs, from several threads if need be; `close` ends those under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: set[subprocess.Popen[bytes]] = set()

    def probe(self) -> None:
        """Run a program that does nothing.  Raises: NoSandboxError if this machine cannot confine it."""
        self.run("pass")

    def run(
        self,
        program: str,
        *,
        stdin: str = "",
        function: str = "",
        calls: list[list[object]] | None = None,
        checks: str | None = None,
    ) -> Ended:
        """Run a program on an input, then call one of its functions, or run statements behind it; blocks.

        The calling thread has to live as long as the call: the kernel ends the program with it.

        Args:
            calls: the arguments of each call of `function`, which may be a method of a class `Solution`.
            checks: Python statements that see what the program has defined; an exception fails them.

        Raises: NoSandboxError if the process could not be confined.
        """
        if sys.platform != "linux":
            raise NoSandboxError(f"there is no Landlock on {sys.platform}")
        box = Path(tempfile.mkdtemp(prefix="rlc-sandbox-"))
        token = secrets.token_hex(_TOKEN_BYTES)
        job: dict[str, object] = {"token": token, "function": function}
        if calls is not None:
            job["calls"] = calls
        try:
            (box / "work").mkdir()
            job["program"] = _written(box / "program.py", program)
            if checks is not None:
                job["checks"] = _written(box / "tests.py", checks)
            return self._run(box, job, stdin, token)
        finally:
            shutil.rmtree(box, ignore_errors=True)

    def close(self) -> None:
        """End all programs."""
        for process in tuple(self._running):
            process.kill()

    def _run(self, box: Path, job: dict[str, object], stdin: str, token: str) -> Ended:
        limits = self._limits
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as outcome:
            given.write(stdin.encode("utf-8", errors="replace"))
            given.seek(0)
            job |= {
                "folder": str(box / "work"),
                "outcome_fd": outcome.fileno(),
                "parent": os.getpid(),
                "cpu_s": int(limits.timeout_s) + 2,
                "memory_mib": limits.memory_mib,
                "output_kib": limits.output_kib,
                "scratch_mib": limits.scratch_mib,
            }
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-S", "-B", "-c", _START, _written(box / "job.json", json.dumps(job))],
                stdin=given,
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd=box,
                env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "HOME": str(box / "work")},
                pass_fds=(outcome.fileno(),),
                start_new_session=True,
            )
            self._running.add(process)
            try:
                in_time = _wait(process, limits.timeout_s)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
                self._running.discard(process)
            told, most = _content(outcome, limits.output_kib << 10), limits.output_kib << 10
            if in_time and code == UNCONFINED and told.startswith('{"unconfined"'):
                raise NoSandboxError(json.loads(told)["unconfined"])
            return Ended(in_time, code, _content(output, most), _results(told, job), told == token)


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for the end of a process, and return whether it came in time."""
    deadline = time.monotonic() + timeout_s
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0, int(1000 * (deadline - time.monotonic())))))
    finally:
        os.close(handle)


def _content(file: IO[bytes], most: int) -> str:
    file.seek(0)
    return file.read(most).decode("utf-8", errors="replace")


def _results(told: str, job: dict[str, object]) -> list[object] | None:
    calls = job.get("calls")
    if not isinstance(calls, list):
        return None
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and len(found) == len(calls) else None


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8", errors="replace")
    return str(path)
