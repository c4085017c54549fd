"""A rollout server as a process, against small programs that start, hang, die and leave children behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.machine import EnvironmentVariable, RoleLaunch
from compiler.ir.processes import Process
from runtime.engines.rollout.server_process import ServerCommand, ServerProcess, planned_command
from tests.support.free_port import free_port

# Answers 200 at /ready; has a child in its group and one in a session of its own, whose numbers it prints.
SERVER = """
import http.server, subprocess, sys, time
child = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
print("children", subprocess.Popen(child).pid, subprocess.Popen(child, start_new_session=True).pid, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path == "/ready" and self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if ok else 404)
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def command(tmp_path: Path, program: str, *, startup_s: float = 30.0, token: str = "secret") -> ServerCommand:
    port = free_port()
    return ServerCommand(
        name="engine 3",
        argv=[sys.executable, "-c", program, str(port), token],
        environment={"PATH": "/usr/bin"},
        url=f"http://127.0.0.1:{port}",
        token=token,
        ready_path="/ready",
        log_path=tmp_path / "logs" / "engine_3.log",
        startup_s=startup_s,
        grace_s=0.3,
    )


@contextmanager
def started(asked: ServerCommand) -> Iterator[ServerProcess]:
    server = ServerProcess(asked)
    try:
        yield server
    finally:
        server.stop()


def children(server: ServerProcess) -> list[int]:
    line = next(line for line in server.log_tail().splitlines() if line.startswith("children"))
    return [int(word) for word in line.split()[1:]]


def is_gone(pid: int | None) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def message(fault: pytest.ExceptionInfo[SpecError]) -> str:
    (diagnostic,) = fault.value.diagnostics
    return f"{diagnostic.code}: {diagnostic.message}"


def test_a_server_is_waited_for_and_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    with started(command(tmp_path, SERVER)) as server:
        server.wait_ready()
        server.check(answer_s=5)
        pids = [server.pid, *children(server)]
        assert not any(is_gone(pid) for pid in pids)
        server.stop()
        assert all(is_gone(pid) for pid in pids)
        assert server.is_stopped
        server.stop()


def test_a_server_that_nobody_holds_any_more_is_ended(tmp_path: Path) -> None:
    server = ServerProcess(command(tmp_path, SERVER))
    server.wait_ready()
    pids = [server.pid, *children(server)]
    del server
    wait_until(lambda: all(is_gone(pid) for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    asked = command(tmp_path, SERVER)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from runtime.engines.rollout.server_process import ServerCommand, ServerProcess\n"
        f"server = ServerProcess(ServerCommand(name='engine', argv={list(asked.argv)!r}, environment={{}},"
        f" url={asked.url!r}, token='secret', ready_path='/ready', log_path=Path({str(asked.log_path)!r}),"
        " startup_s=30, grace_s=0.3))\n"
        "server.wait_ready(); print(server.pid, server.log_tail().split('children')[1], flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[4]
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 3
        parent.send_signal(number)
    wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_a_guard_that_is_killed_takes_the_server_with_it(tmp_path: Path) -> None:
    with started(command(tmp_path, SERVER)) as server:
        server.wait_ready()
        guard = int(Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: is_gone(server.pid))
        in_group = children(server)[0]
        server.stop()
        wait_until(lambda: is_gone(in_group))
        os.kill(children(server)[1], signal.SIGKILL)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    asked = command(tmp_path, "")
    with pytest.raises(SpecError) as fault:
        ServerProcess(replace(asked, argv=["no-such-program", "--port", "1"]))
    assert message(fault).startswith("RLC0765: engine 3 did not start: the program no-such-program cannot be started")
    assert "No such file or directory" in message(fault)


def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log_and_without_its_token(tmp_path: Path) -> None:
    asked = command(tmp_path, "import sys; print('key', sys.argv[2]); sys.exit('no weights here')")
    with started(asked) as server, pytest.raises(SpecError) as fault:
        server.wait_ready()
    assert "RLC0765: engine 3 did not start: it ended with exit code 1 after" in message(fault)
    assert "\n  | key TOKEN" in message(fault)
    assert "\n  | no weights here" in message(fault)
    assert "secret" not in str(fault.value.diagnostics)


def test_the_command_of_a_planned_engine_is_filled_in(tmp_path: Path) -> None:
    launch = RoleLaunch(
        role="rollout",
        stages=("main",),
        engine="sglang",
        version="0.5.23",
        words=(
            "python",
            "-m",
            "sglang.launch_server",
            "--host",
            "{address}",
            "--port",
            "{port}",
            "--api-key",
            "{token}",
        ),
        follower_words=("--node-rank", "{node_rank}"),
        environment=(EnvironmentVariable(name="NUMBER", value="{first_gpu}"),),
        records=(),
        first_port=15000,
        ports=64,
        cpus=1,
        cpus_per_gpu=1,
        shm_gib=1.0,
        ipc="private",
    )
    values = {"port": "15064", "first_gpu": "3", "node_rank": "1"}
    known = {"address": "127.0.0.1", "first_address": "127.0.0.1", "token": "secret"}
    first, follower = (
        planned_command(
            launch,
            Process(engine=1, node=node, first_node=0, values=values),
            known=known,
            environment={"PATH": "/bin", "NUMBER": "0"},
            log_dir=tmp_path,
            startup_s=60,
        )
        for node in (0, 1)
    )
    assert " ".join(first.argv) == "python -m sglang.launch_server --host 127.0.0.1 --port 15064 --api-key secret"
    assert [*follower.argv] == [*first.argv, "--node-rank", "1"]
    assert first.environment == {"PATH": "/bin", "NUMBER": "3"}
    assert (first.url, first.ready_path, first.token) == ("http://127.0.0.1:15064", "/health", "secret")
    assert first.log_path != follower.log_path


def test_only_what_was_written_since_this_start_is_shown(tmp_path: Path) -> None:
    asked = command(tmp_path, "import sys; sys.exit('second')")
    asked.log_path.parent.mkdir()
    asked.log_path.write_text("first\n", encoding="utf-8")
    with started(asked) as server, pytest.raises(SpecError) as fault:
        server.wait_ready()
    assert "second" in message(fault)
    assert "first" not in message(fault)


def test_a_server_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    with started(command(tmp_path, "import time; time.sleep(600)", startup_s=0.3)) as server:
        with pytest.raises(SpecError) as fault:
            server.wait_ready()
        assert "/ready was not ready within 0.3 s; it wrote nothing to" in message(fault)
        assert is_gone(server.pid)


def test_a_server_that_died_says_by_what(tmp_path: Path) -> None:
    with started(command(tmp_path, SERVER)) as server:
        server.wait_ready()
        ended: queue.Queue[int] = queue.Queue()
        server.when_ended(ended.put)
        left = children(server)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert ended.get(timeout=30) == 128 + signal.SIGKILL
        with pytest.raises(SpecError) as fault:
            server.check(answer_s=5)
        assert message(fault).startswith(f"RLC0766: engine 3 at {server.url} has ended by SIGKILL; the end of")
        assert "memory" in fault.value.diagnostics[0].help[0].text
        assert all(is_gone(pid) for pid in left)


def test_a_server_that_hangs_is_told_from_one_that_died_and_can_be_ended(tmp_path: Path) -> None:
    with started(command(tmp_path, SERVER)) as server:
        server.wait_ready()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(SpecError) as fault:
            server.check(answer_s=0.3)
        assert message(fault).startswith(f"RLC0767: engine 3 at {server.url} runs, and did not answer within 0.3 s")
        server.stop()
        assert is_gone(server.pid)
