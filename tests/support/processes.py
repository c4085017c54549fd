"""Real `rlc` processes for tests, started by a server that has the runtime loaded: see `run_server`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACES = ("rollout", "evaluation", "backward", "row", "before_rename", "after_rename")

# Files by which a process and its test talk about a gate.
REACHED, GO = "reached", "go"

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.  `code` is its exit code, or the negative number of the signal that killed it."""

    code: int
    out: str
    err: str


class Process:
    """One `rlc` process."""

    def __init__(self, server: Server, pid: int, folder: Path) -> None:
        self._server, self.pid, self._folder = server, pid, folder

    def reaches_its_gate(self) -> bool:
        """Wait for the process to come to its gate; return whether it did, rather than end before."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (self._folder / REACHED).exists():
            if _has_ended(self.pid):
                return False
            assert time.monotonic() < deadline, "neither at its gate nor ended"
            time.sleep(0.002)
        return True

    def goes_on(self) -> None:
        """Open the gate."""
        (self._folder / GO).touch()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended no longer gets it."""
        os.kill(self.pid, number)

    def says(self, words: str) -> None:
        """Wait until the process has printed these words."""
        deadline = time.monotonic() + _PATIENCE_S
        while words not in self.printed():
            assert time.monotonic() < deadline, f"never said {words}"
            time.sleep(0.002)

    def printed(self) -> str:
        """Return what the process has printed until now."""
        out = self._folder / "out"
        return out.read_text(encoding="utf-8") if out.exists() else ""

    def wait(self) -> Ended:
        """Wait for the end."""
        status = self._server.ask({"ask": "wait", "pid": self.pid})["status"]
        out, err = ((self._folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Ended(os.waitstatus_to_exitcode(status), out, err)


class Server:
    """Starts processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.run_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, *argv: str | Path, cwd: Path, gate: tuple[str, int] | None = None, file_limit: int | None = None
    ) -> Process:
        """Start `rlc` with these arguments.

        Args:
            gate: a place and how often the process passes it until it stops there.
            file_limit: bytes of the largest file that the process may write.
        """
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        answer = self.ask(
            {
                "ask": "start",
                "argv": [str(argument) for argument in argv],
                "cwd": str(cwd),
                "out": str(folder / "out"),
                "err": str(folder / "err"),
                "gate": None if gate is None else [str(folder), *gate],
                "file_limit": file_limit,
            }
        )
        return Process(self, answer["pid"], folder)

    def run(self, *argv: str | Path, cwd: Path) -> Ended:
        """Start `rlc` with these arguments and wait for its end."""
        return self.start(*argv, cwd=cwd).wait()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer."""
        asks, answers = self._process.stdin, self._process.stdout
        assert asks is not None
        assert answers is not None
        asks.write(json.dumps(request) + "\n")
        asks.flush()
        return json.loads(answers.readline())

    def close(self) -> None:
        """End the server."""
        self._process.communicate()


def _has_ended(pid: int) -> bool:
    """Whether a process is over, though nobody has asked yet how it ended."""
    state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    return state == "Z"
