"""Programs that want out of the sandbox: each really tries, and each is refused by the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from runtime.sandbox.box import Ended, Limits, Sandbox

MARK = "rlc-was-here"
LIMITS = Limits(timeout_s=20.0, memory_mib=512, output_kib=64)
SCRATCH = LIMITS._replace(scratch_mib=4)


def attacked(program: str, limits: Limits = LIMITS) -> Ended:
    """Run a program that prints what happened to it: the name of the exception, or what it got."""
    body = textwrap.indent(textwrap.dedent(program), "    ")
    text = f"try:\n{body}\nexcept BaseException as fault:\n    print(type(fault).__name__)\n"
    return Sandbox(limits).run(text)


def test_a_program_reads_and_prints() -> None:
    ended = Sandbox(LIMITS).run("print(input()[::-1])", stdin="abc\n")
    assert (ended.in_time, ended.code, ended.output) == (True, 0, "cba\n")


def test_what_a_program_may_import_is_all_there() -> None:
    modules = "json, math, decimal, hashlib, ctypes, collections, heapq, random, datetime, asyncio, sqlite3, zlib, bz2"
    assert Sandbox(LIMITS).run(f"import {modules}, threading, socket, ssl\nprint('ok')").output == "ok\n"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "/proc/self/environ",
        "/proc/self/mem",
        "/proc/1/cmdline",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd/../../etc/passwd",
        "/dev/mem",
        "/dev/shm/x",
        "../job.json",
        str(Path(__file__)),
        str(Path(sys.prefix) / "pyvenv.cfg"),
    ],
)
def test_no_file_outside_its_folder_can_be_read(path: str) -> None:
    assert attacked(f"print(len(open({path!r}, 'rb').read()))").output in (
        "PermissionError\n",
        "FileNotFoundError\n",
    )


def test_the_files_of_a_run_cannot_be_read_or_listed(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text("42")
    for call in (f"open({str(tmp_path / 'labels.jsonl')!r})", f"__import__('os').listdir({str(tmp_path)!r})"):
        assert attacked(f"print({call})").output == "PermissionError\n"


@pytest.mark.parametrize("call", ["symlink", "link"])
@pytest.mark.parametrize("limits", [LIMITS, SCRATCH], ids=["read-only", "scratch"])
def test_no_link_leads_out(call: str, limits: Limits) -> None:
    program = f"import os\nos.{call}('/etc/passwd', 'inside')\nprint(open('inside').read())"
    assert attacked(program, limits).output == "PermissionError\n"


@pytest.mark.parametrize(
    "program",
    [
        "open('x', 'w')",
        f"open({str(Path(tempfile.gettempdir()) / MARK)!r}, 'w')",
        f"open('/dev/shm/{MARK}', 'w')",
        "import os\nos.mkdir('x')",
        "import os\nos.truncate('program.py', 0)",
        "import os\nos.chmod('.', 0o777)",
        "import os\nos.memfd_create('x')",
        "import os\nos.mkfifo('x')",
        "import os\nos.utime('.', (0, 0))",
        "import os\nos.rename('../program.py', 'x')",
        "import os\nos.unlink('../program.py')",
    ],
)
def test_nothing_can_be_written_or_changed(program: str) -> None:
    assert attacked(f"{program}\nprint('done')").output in ("PermissionError\n", "OSError\n")
    assert not (Path(tempfile.gettempdir()) / MARK).exists()
    assert not (Path("/dev/shm") / MARK).exists()


def test_a_scratch_folder_holds_what_it_may_and_fills_no_disk() -> None:
    program = """
        import os
        open('note', 'w').write('kept')
        assert open('note').read() == 'kept'
        written = 0
        try:
            while True:
                with open(f'f{written}', 'wb', buffering=0) as file:
                    written += file.write(bytes(1 << 20))
        except OSError as fault:
            print(fault.errno, written <= 4 << 20)
    """
    assert attacked(program, SCRATCH).output in ("28 True\n", "27 True\n")


def test_the_number_of_files_is_bounded_too() -> None:
    program = """
        made = 0
        try:
            while True:
                open(f'f{made}', 'w').close()
                made += 1
        except OSError as fault:
            print(fault.errno, made < 200)
    """
    assert attacked(program, SCRATCH).output == "28 True\n"


def test_output_without_end_is_cut() -> None:
    ended = Sandbox(LIMITS).run("while True:\n    print('x' * 1000)")
    assert ended.code != 0
    assert len(ended.output) == 64 << 10


@pytest.mark.parametrize(
    "call",
    [
        "socket.socket()",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socketpair()",
        "socket.create_connection(('127.0.0.1', PORT), timeout=1)",
    ],
)
def test_no_socket_is_opened(call: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = attacked(f"import socket\nPORT = {server.getsockname()[1]}\nprint({call})")
        assert ended.output == "PermissionError\n"
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True:\n    os.fork()",
        "import os\nos.forkpty()",
        "import os\nos.posix_spawn('/bin/sh', ['sh'], {})",
        "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo out'])",
        "import subprocess\nsubprocess.run(['id'])",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.fork() < 0 and libc.vfork() < 0: raise PermissionError(ctypes.get_errno())",
    ],
)
def test_no_process_is_started(program: str) -> None:
    assert attacked(f"{program}\nprint('done')").output in ("PermissionError\n", "OSError\n")


def test_no_thread_is_started() -> None:
    program = "import threading\nwhile True:\n    threading.Thread(target=lambda: None).start()"
    assert attacked(program).output == "RuntimeError\n"


def test_system_is_no_way_out() -> None:
    ended = attacked("import os\nprint(os.system('echo out') != 0)")
    assert ended.output == "True\n"


@pytest.mark.parametrize("signal", [0, 9, 15, 19])
@pytest.mark.parametrize("whom", ["os.getppid()", "1", "-1", "0"])
def test_nobody_is_sent_a_signal(signal: int, whom: str) -> None:
    assert attacked(f"import os\nos.kill({whom}, {signal})\nprint('sent')").output == "PermissionError\n"


CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({call}), ctypes.get_errno())
"""


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64", "rest"),
    [
        ("ptrace", 101, 117, "16, PARENT, 0, 0"),
        ("process_vm_readv", 310, 270, "PARENT, 0, 0, 0, 0, 0"),
        ("pidfd_open", 434, 434, "PARENT, 0"),
        ("rt_sigqueueinfo", 129, 138, "PARENT, 9, 0"),
        ("tgkill of another", 234, 131, "PARENT, PARENT, 9"),
        ("tkill", 200, 130, "PARENT, 9"),
        ("prctl: outlive the parent", 157, 167, "1, 0, 0, 0, 0"),
        ("setsid", 112, 157, ""),
        ("unshare", 272, 97, "0x10000000"),
        ("mount", 165, 40, "0, 0, 0, 0, 0"),
        ("bpf", 321, 280, "0, 0, 0"),
        ("io_uring_setup", 425, 425, "1, 0"),
        ("userfaultfd", 323, 282, "0"),
        ("shmget", 29, 194, "0, 4096, 0o600"),
        ("mq_open", 240, 180, "0, 0, 0, 0"),
        ("keyctl", 250, 219, "0, 0, 0, 0, 0"),
        ("setrlimit", 160, 164, "0, 0"),
        ("prlimit64 with new limits", 302, 261, "0, 0, 1, 0"),
        ("fcntl F_SETOWN", 72, 25, "0, 8, PARENT"),
        ("ioctl TIOCSTI", 16, 29, "0, 0x5412, 0"),
        ("openat2", 437, 437, "-100, 0, 0, 24"),
        ("open_by_handle_at", 304, 265, "0, 0, 0"),
        ("reboot", 169, 142, "0, 0, 0, 0"),
        ("chroot", 161, 51, "0"),
        ("seccomp", 317, 277, "0, 0, 0"),
    ],
)
def test_system_calls_that_computing_has_no_use_for_are_refused(
    name: str, x86_64: int, aarch64: int, rest: str
) -> None:
    del name
    number = {"x86_64": x86_64, "aarch64": aarch64}[os.uname().machine]
    call = ", ".join([str(number), *([rest.replace("PARENT", str(os.getpid()))] if rest else [])])
    assert Sandbox(LIMITS).run(CALL.format(call=call)).output == "-1 1\n"


def test_a_call_by_the_numbers_of_another_machine_ends_the_program() -> None:
    # x32 on x86-64; on arm64 there is no such table, and the number is refused.
    ended = Sandbox(LIMITS).run(CALL.format(call=0x40000000 + 39))
    assert (ended.code, ended.output) in ((-31, ""), (0, "-1 1\n"))


def test_memory_is_bounded() -> None:
    assert attacked("x = bytearray(1 << 30)\nprint('got it')").output == "MemoryError\n"


def test_a_program_that_hangs_is_ended_in_time() -> None:
    for program in ("while True: pass", "import time\ntime.sleep(60)"):
        start = time.monotonic()
        ended = Sandbox(LIMITS._replace(timeout_s=1.0)).run(program)
        assert not ended.in_time
        assert time.monotonic() - start < 10


def test_a_program_that_minds_no_signal_is_ended_too() -> None:
    program = """
import signal
for number in range(1, 64):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    pass
"""
    assert not Sandbox(LIMITS._replace(timeout_s=1.0)).run(program).in_time


OUTLIVES = """
import pathlib, sys, threading, time
sys.path.insert(0, {root!r})
from runtime.sandbox.box import Limits, Sandbox
box = Sandbox(Limits(timeout_s=60.0, memory_mib=512, output_kib=64))
threading.Thread(target=box.run, args=("import time\\nwhile True: time.sleep(1)",), daemon=True).start()
while not box._running:
    time.sleep(0.01)
process = next(iter(box._running))
time.sleep(1.0)
print(process.pid, flush=True)
time.sleep(60)
"""


def test_a_program_does_not_outlive_the_process_that_runs_it() -> None:
    root = str(Path(__file__).parents[3])
    parent = subprocess.Popen([sys.executable, "-c", OUTLIVES.format(root=root)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Sandbox(LIMITS).run("print(1)")
    Sandbox(SCRATCH).run("open('x', 'w').write('x')")
    assert list(tmp_path.iterdir()) == []


def test_functions_are_called_and_their_results_come_back() -> None:
    ended = Sandbox(LIMITS).run("def add(a, b): return a + b", function="add", calls=[[1, 2], ["a", "b"]])
    assert ended.returned == [3, "ab"]
    ended = Sandbox(LIMITS).run("class Solution:\n    def f(self, x): return x, x", function="f", calls=[[1]])
    assert ended.returned == [[1, 1]]
    for program in ("", "def f(x): raise ValueError", "def f(x): return {1}", "def f(x): exit(0)"):
        assert Sandbox(LIMITS).run(program, function="f", calls=[[1]]).returned is None


@pytest.mark.parametrize(
    ("program", "passed"),
    [
        ("def f(): return 1", True),
        ("def f(): return 2", False),
        ("import os\ndef f(): os._exit(0)", False),
        ("import sys\ndef f(): sys.exit(0)", False),
        ("import os\nos.write(3, b'0' * 32)\nos._exit(0)", False),
    ],
)
def test_checks_pass_only_by_running_to_their_end(program: str, passed: bool) -> None:
    assert Sandbox(LIMITS).examine(program, "assert f() == 1").passed is passed
