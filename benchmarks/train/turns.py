"""A process that takes a step when it is told to, so that two of them can take turns: both ends of the pipe.

Each line that comes in asks for one step; each line that goes out is JSON.  The first line out tells
facts about what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final, TextIO

from benchmarks.record import ROOT

_PATIENCE_S: Final = 30.0


@contextmanager
def step_process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[StepProcess]:
    """Start a process, with variables set on top of this one's own, and end it afterwards."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(
            ("env", *(f"{name}={value}" for name, value in environment.items()), *command),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        try:
            yield StepProcess(process, complaints)
        finally:
            _end(process)


class StepProcess:
    """The end of whoever asks."""

    def __init__(self, process: subprocess.Popen[str], complaints: IO[str]) -> None:
        self._process = process
        self._complaints = complaints
        self.facts: dict[str, str] = json.loads(self._line())

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def step(self) -> dict[str, float]:
        """Let it take a step and return what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._complaints.seek(0)
            sys.exit(f"{self._process.args} failed:\n{self._complaints.read()}")
        return line


class Turns:
    """The end of whoever takes steps.  Whatever else is printed goes to standard error."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self._replies: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._write(facts)

    def wait(self) -> None:
        """Wait until a step is asked for; end the process when nobody will ask any more."""
        if not sys.stdin.readline():
            sys.exit(0)

    def reply(self, measured: Mapping[str, float]) -> None:
        """Report a step."""
        self._write(measured)

    def _write(self, values: Mapping[str, object]) -> None:
        self._replies.write(json.dumps(values) + "\n")
        self._replies.flush()


def _end(process: subprocess.Popen[str]) -> None:
    """Close the pipe, upon which the process ends and removes its temporary files, and wait for that."""
    try:
        process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
