"""A rollout server as a process of this machine: started, waited for, watched, and ended with all that it has started.

The command line and the environment are those of the plan (`RoleLaunch`, filled in by `compiler/ir/processes.py`); this
adds nothing to them.  A guard (server_guard.py) stands between this process and the server, so that the server's whole
tree ends when this process does, however it does: a server of several processes that outlives its run would keep its
device and its port.

What the server writes goes into a file, whose end stands in every diagnostic.
"""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.machine import RoleLaunch
from compiler.ir.processes import Process, filled, words_of

_GUARD: Final = Path(__file__).with_name("server_guard.py")
_LOOK_EVERY_S: Final = 0.1
_PROBE_S: Final = 5.0
_TAIL_BYTES: Final = 16 << 10
_TAIL_LINES: Final = 20
_GRACE_S: Final = 10.0
_LATE_S: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerCommand:
    """What a server is started with, and how it says that it is there.

    Args:
        name: of the server for messages, such as `engine 3`.
        argv: its command line; a program without a slash is looked for in PATH of `environment`.
        environment: all of its environment.
        url: where it will listen.
        token: what its addresses ask for, or nothing.
        ready_path: what answers 200 as soon as it can be used.
        log_path: the file that its output is added to.
        startup_s: the longest that it may take to be ready.
        grace_s: how long it may take to end by itself.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    url: str
    token: str
    ready_path: str
    log_path: Path
    startup_s: float
    grace_s: float


def planned_command(
    launch: RoleLaunch,
    process: Process,
    *,
    known: Mapping[str, str],
    environment: Mapping[str, str],
    log_dir: Path,
    startup_s: float,
) -> ServerCommand:
    """Return the command of one process of a plan.

    Args:
        known: what is known when a run begins: `address`, `first_address` and `token`.
        environment: what it finds beside the variables of its launch, PATH among them.
    """
    values = {**process.values, **known}
    variables = {variable.name: filled(variable.value, values) for variable in launch.environment}
    part = "" if process.is_first else f"_{process.values['node_rank']}"
    address = known["address"]
    return ServerCommand(
        name=f"{launch.engine} engine {process.engine}",
        argv=[filled(word, values) for word in words_of(launch, process)],
        environment={**environment, **variables},
        url=f"http://{f'[{address}]' if ':' in address else address}:{process.values['port']}",
        token=known["token"],
        # Without weights a server of rlc is not healthy, and takes them.
        ready_path="/server_info" if launch.engine == "native" else "/health",
        log_path=log_dir / f"engine_{process.engine}{part}.log",
        startup_s=startup_s,
        grace_s=_GRACE_S,
    )


class ServerProcess:
    """A server that runs from the making of this until `stop`, or until nobody holds this any more.

    Raises: SpecError RLC0765 if the program cannot be started.
    """

    def __init__(self, command: ServerCommand) -> None:
        self._command = command
        self._is_stopped = False
        try:
            command.log_path.parent.mkdir(parents=True, exist_ok=True)
            with command.log_path.open("ab") as log:
                self._log_start = log.tell()
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", str(_GUARD), str(command.grace_s), *command.argv],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=dict(command.environment),
                    start_new_session=True,
                )
        except OSError as fault:
            raise self._not_started(f"its log {command.log_path} or its process cannot be made: {fault}") from fault
        assert self._guard.stdout is not None
        said = self._guard.stdout.readline()
        self.pid = int(said) if said.strip().isdigit() else None
        self._end = weakref.finalize(self, _ended, self._guard, self.pid, command.grace_s)
        if self.pid is None:
            self.stop()
            raise self._not_started(f"the program {command.argv[0]} cannot be started")

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._command.url

    @property
    def exit_code(self) -> int | None:
        """How its program ended, 128 + N for signal N, or None while it runs."""
        code = self._guard.poll()
        return None if code is None else _as_shells_say(code)

    def wait_ready(self) -> None:
        """Wait until it can be used.

        Raises: SpecError RLC0765 if it ends before, or if it is not ready in time (then it is ended).
        """
        command, begin = self._command, time.monotonic()
        while True:
            code, seconds = self.exit_code, time.monotonic() - begin
            if code is not None:
                raise self._not_started(f"it ended {_by(code)} after {seconds:.1f} s, before it was ready")
            if self._answers(min(_PROBE_S, command.startup_s)) == 200:
                return
            if seconds > command.startup_s:
                self.stop()
                fact = f"{command.url}{command.ready_path} was not ready within {command.startup_s:g} s"
                raise self._not_started(fact)
            time.sleep(_LOOK_EVERY_S)

    def check(self, *, answer_s: float) -> None:
        """Look whether it runs and answers.

        Raises: SpecError RLC0766 if its program has ended, RLC0767 if it does not answer in time.
        """
        self.check_runs()
        status = self._answers(answer_s)
        self.check_runs()
        if status is None:
            way = Help("it hangs, or the machine is overloaded: its log says what it did last")
            fact = f"{self._command.name} at {self.url} runs, and did not answer within {answer_s:g} s"
            raise SpecError(Diagnostic("RLC0767", fact + self._tail(), help=(way,)))

    def check_runs(self) -> None:
        """Look whether it runs.  Raises: SpecError RLC0766 if its program has ended."""
        code = self.exit_code
        if code is None:
            return
        fact = f"{self._command.name} at {self.url} has ended {_by(code)}"
        raise SpecError(Diagnostic("RLC0766", fact + self._tail(), help=(_way_of(code),)))

    def when_ended(self, call: Callable[[int], None]) -> None:
        """Call something with the exit code, from a thread of its own, as soon as the server has ended."""
        threading.Thread(
            target=lambda: call(_as_shells_say(self._guard.wait())), name="server watch", daemon=True
        ).start()

    def stop(self) -> None:
        """End it and all that it has started; returns when they are gone."""
        self._is_stopped = True
        self._end()

    @property
    def is_stopped(self) -> bool:
        """Whether its end was asked for."""
        return self._is_stopped

    def log_tail(self) -> str:
        """Return the last lines that it wrote since it was started, or nothing."""
        try:
            with self._command.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - _TAIL_BYTES))
                content = log.read()
        except OSError:
            return ""
        lines = self._without_token(content.decode("utf-8", errors="replace")).splitlines()
        return "\n".join(line for line in lines if line.strip())

    def _answers(self, timeout_s: float) -> int | None:
        """Return the status that it answers with, or None where it does not answer."""
        command, place = self._command, urlsplit(self.url)
        headers = {"Authorization": f"Bearer {command.token}"} if command.token else {}
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout_s)
        try:
            connection.request("GET", command.ready_path, headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _not_started(self, why: str) -> SpecError:
        way = Help(f"run it by itself to see all of it: {shlex.join(self._shown())}")
        return SpecError(Diagnostic("RLC0765", f"{self._command.name} did not start: {why}{self._tail()}", help=(way,)))

    def _shown(self) -> list[str]:
        return [self._without_token(word) for word in self._command.argv]

    def _without_token(self, text: str) -> str:
        token = self._command.token
        return text.replace(token, "TOKEN") if token else text

    def _tail(self) -> str:
        lines = self.log_tail().splitlines()[-_TAIL_LINES:]
        path = self._command.log_path
        if not lines:
            return f"; it wrote nothing to {path}"
        return "".join([f"; the end of {path}:", *(f"\n  | {line[:300]}" for line in lines)])


def _ended(guard: subprocess.Popen[bytes], pid: int | None, grace_s: float) -> None:
    for pipe in (guard.stdin, guard.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        guard.wait(grace_s + _LATE_S)
    except subprocess.TimeoutExpired:
        guard.kill()  # it is stopped, or starved
        guard.wait()
    if guard.returncode < 0 and pid is not None:
        # Nobody has ended the rest: with a guard that was killed, the kernel has ended the program only.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _as_shells_say(code: int) -> int:
    """Return 128 + N for signal N: a guard that was itself killed says nothing."""
    return code if code >= 0 else 128 - code


def _by(code: int) -> str:
    if code <= 128:
        return f"with exit code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(code - 128).name}"
    return f"with exit code {code}"


def _way_of(code: int) -> Help:
    if code == 128 + signal.SIGKILL:
        return Help("if nobody killed it, the kernel did for want of memory: journalctl -k | grep -i oom")
    return Help("what it wrote last says why; a run goes on from its last checkpoint")
