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

- the tests: none is judged in the program's process, and nothing that is expected enters it.  Tests that are data are
  compared by the caller; tests that are Python statements run in a second process, confined as well, which asks the
  program's for results over two pipes (examiner.py) and is alone in telling that they passed.

Not in the model: faults of the kernel itself, and what can be told from timing.

Needs Linux 5.13 or later with Landlock, on x86-64 or arm64; elsewhere nothing is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from runtime.sandbox.inside import CONFINED, EXAMINED, PASSED, UNCONFINED

_ROOT = str(Path(__file__).resolve().parents[2])
_START = f"import sys; sys.path.insert(0, {_ROOT!r}); from runtime.sandbox.inside import main; main()"


class UnfitTestsError(ValueError):
    """Tests that need what cannot be had from another process, in words."""


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

    `returned` are the results of the calls that were asked for, None where they are not all there.
    """

    in_time: bool
    code: int
    output: str
    returned: list[object] | None = None


class Examined(NamedTuple):
    """How tests of a program ended: in time or not, and whether they ran to their end without an exception."""

    in_time: bool
    passed: bool


class Sandbox:
    """Runs programs, from several threads if need be; `close` ends those under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: set[subprocess.Popen[bytes]] = set()

    def probe(self) -> None:
        """Run a program that does nothing.  Raises: NoSandboxError if this machine cannot confine it."""
        self.run("pass")

    def run(
        self, program: str, *, stdin: str = "", function: str = "", calls: list[list[object]] | None = None
    ) -> Ended:
        """Run a program on an input, then call one of its functions; blocks.

        The calling thread has to live as long as the call: the kernel ends the program with it.

        Args:
            calls: the arguments of each call of `function`, which may be a method of a class `Solution`.

        Raises: NoSandboxError if the process could not be confined.
        """
        job: dict[str, object] = {"function": function}
        if calls is not None:
            job["calls"] = calls
        with self._started({"program": program}, job, stdin) as started:
            in_time = _wait(started.process, self._limits.timeout_s)
            code, told = self._ended(started)
            output = _content(started.output, self._limits.output_kib << 10)
            return Ended(in_time, code, output, _results(told, calls))

    def examine(self, program: str, checks: str) -> Examined:
        """Run Python statements that see what a program has defined, in a process of their own; blocks, as `run`.

        Raises: UnfitTestsError for statements that hand over what cannot leave their process, NoSandboxError.
        """
        with contextlib.ExitStack() as started, contextlib.ExitStack() as pipes:
            fds = [*os.pipe(), *os.pipe()]
            for fd in fds:
                pipes.callback(os.close, fd)
            asked_in, asked_out, told_in, told_out = fds
            subject = started.enter_context(self._started({"program": program}, {"lines": [asked_in, told_out]}))
            tests = started.enter_context(self._started({"checks": checks}, {"lines": [told_in, asked_out]}))
            pipes.close()
            in_time = _wait(tests.process, self._limits.timeout_s)
            self._ended(subject)
            code, told = self._ended(tests)
            if in_time and code == EXAMINED:
                raise UnfitTestsError(told)
            return Examined(in_time, in_time and code == 0 and told == PASSED)

    def close(self) -> None:
        """End all programs."""
        for process in tuple(self._running):
            process.kill()

    @contextlib.contextmanager
    def _started(self, texts: dict[str, str], job: dict[str, object], stdin: str = "") -> Iterator[_Started]:
        """A process on its way, with a folder of its own; it is ended and its folder removed behind."""
        limits = self._limits
        with (
            tempfile.TemporaryDirectory(prefix="rlc-sandbox-", ignore_cleanup_errors=True) as box,
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as outcome,
            tempfile.TemporaryFile() as status,
        ):
            given.write(stdin.encode("utf-8", errors="replace"))
            given.seek(0)
            folder = Path(box) / "work"
            folder.mkdir()
            job = job | {name: _written(Path(box) / f"{name}.py", text) for name, text in texts.items()}
            job |= {
                "folder": str(folder),
                "outcome_fd": outcome.fileno(),
                "status_fd": status.fileno(),
                "parent": os.getpid(),
                "cpu_s": int(limits.timeout_s) + 2,
                "memory_mib": limits.memory_mib,
                "output_kib": limits.output_kib,
                "scratch_mib": limits.scratch_mib,
            }
            lines = job.get("lines")
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-s",
                    "-S",
                    "-B",
                    "-c",
                    _START,
                    _written(Path(box) / "job.json", json.dumps(job)),
                ],
                stdin=given,
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd=box,
                env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "HOME": str(folder)},
                pass_fds=(outcome.fileno(), status.fileno(), *(lines if isinstance(lines, list) else ())),
                start_new_session=True,
            )
            self._running.add(process)
            try:
                yield _Started(process, output, outcome, status)
            finally:
                _end(process)
                self._running.discard(process)

    def _ended(self, started: _Started) -> tuple[int, str]:
        """End a process, and return its exit code and what it told.  Raises: NoSandboxError if it was not confined."""
        code = _end(started.process)
        status = _content(started.status, 1 << 12)
        if code == UNCONFINED and status != CONFINED:
            raise NoSandboxError(status)
        return code, _content(started.outcome, self._limits.output_kib << 10)


class _Started(NamedTuple):
    """A process and its files: what it prints, what it tells, and whether it is confined."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    outcome: IO[bytes]
    status: IO[bytes]


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a process if it has not ended, and return its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


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


def _results(told: str, calls: list[list[object]] | None) -> list[object] | None:
    if calls is None:
        return None
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and len(found) == len(calls) else None


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8", errors="replace")
    return str(path)
