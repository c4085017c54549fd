"""A connection to Ray: to a cluster that somebody gives, or to one of this machine that lives as long as the run.

A cluster of our own listens at the loopback of this machine alone and asks everybody for a token, which is in a file
that only its user can read: the token stands in no command line, no variable and no log.  It says nothing to Ray's
makers.  Who holds it together is `ray_keeper.py`.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime import environ

_STORE_BYTES: Final = 256 << 20
_TAIL_LINES: Final = 8
_CONNECT_S: Final = 10.0
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_DEDUP_LOGS": "0"}


class Node(NamedTuple):
    """What a node of a cluster of our own pretends to have."""

    num_cpus: int
    num_gpus: int
    resources: dict[str, float]


@dataclass(slots=True)
class RayCluster:
    """Connected from `joined` or `started` until `close`.  `is_own` says whether it ends with the run."""

    is_own: bool
    _keeper: subprocess.Popen[str] | None
    _folder: Path | None

    @staticmethod
    def joined(address: str) -> RayCluster:
        """Connect to a cluster that is there; its token is where Ray looks for one.

        Raises: SpecError RLC0760 if it is not there or refuses.
        """
        environ.put(_QUIET)
        _connect(address, {})
        return RayCluster(is_own=False, _keeper=None, _folder=None)

    @staticmethod
    def started(nodes: Sequence[Node], *, patience_s: float) -> RayCluster:
        """Start a cluster of this machine and connect to it.  Raises: SpecError RLC0760 if it does not start."""
        folder = Path(tempfile.mkdtemp(prefix="rlc-ray-"))
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(_own_token(), encoding="ascii")
        # Ray reads these when it is imported, so nothing of ours imports it at the top of a file.  With the last one it
        # takes the loopback for an address like any other, as it does where there are no clusters.
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        environ.put({**_QUIET, **own})
        log = folder / "keeper.log"
        with log.open("wb") as errors:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "runtime.executors.ray_keeper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                cwd=Path(__file__).resolve().parents[2],
            )
        cluster = RayCluster(is_own=True, _keeper=keeper, _folder=folder)
        with ExitStack() as otherwise:
            otherwise.callback(cluster.close)
            asked = {"folder": str(folder), "nodes": [_arguments(node) for node in nodes]}
            assert keeper.stdin is not None
            keeper.stdin.write(json.dumps(asked) + "\n")
            keeper.stdin.flush()
            _connect(_first_line(keeper, log, patience_s), {"_temp_dir": str(folder / "r")})
            otherwise.pop_all()
        return cluster

    def close(self) -> None:
        """Leave the cluster, and end it with all its processes if it is our own."""
        import ray

        ray.shutdown()
        if self._keeper is None or self._folder is None:
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._keeper = None


@cache
def _own_token() -> str:
    """Return the token of all clusters of this process: Ray reads it once."""
    return secrets.token_hex(32)


def _arguments(node: Node) -> dict[str, Any]:
    return {**node._asdict(), "object_store_memory": _STORE_BYTES}


def _connect(address: str, more: dict[str, Any]) -> None:
    import ray

    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        # Ray itself would wait for ever.
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
        with _signals_as_they_are():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **more)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        said = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        ways = (
            Help("look whether it runs: ray status --address ADDRESS, and whether both sides have the same token"),
            Help("or take the address away (RAY_ADDRESS): a cluster of this machine is started then"),
        )
        raise SpecError(
            Diagnostic("RLC0760", f"the Ray cluster at {address} cannot be joined: {said}", help=ways)
        ) from fault


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Keep the handlers of the run, where Ray would set its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(keeper: subprocess.Popen[str], log: Path, patience_s: float) -> str:
    """Return the address that the keeper says.  Raises: SpecError RLC0760 if it ends, or says nothing in time."""
    late = threading.Timer(patience_s, keeper.kill)
    late.start()
    try:
        assert keeper.stdout is not None
        line = keeper.stdout.readline()
    finally:
        is_late = not late.is_alive()
        late.cancel()
    if line:
        return str(json.loads(line)["address"])
    why = f"it took more than {patience_s:g} s" if is_late else f"it ended with exit code {keeper.wait()}"
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_TAIL_LINES:]
    fact = "; ".join([f"no Ray cluster could be started on this machine: {why}", *tail])
    way = Help('set run.executor = "inline" to do without Ray', (("run.executor", '"inline"'),))
    raise SpecError(Diagnostic("RLC0760", fact, help=(way,), paths=("run.executor",)))
