"""A server of a tiny model in a process of its own: `python -m tests.support.native_server PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server.app import Served
from runtime.engines.rollout.server.listening import ListeningServer, listening_socket
from runtime.engines.rollout.server_process import ServerCommand, ServerProcess
from tests.support.free_port import free_port
from tests.support.tiny_model import tiny_model

TOKEN = "the token of a test"
_ROOT = Path(__file__).resolve().parents[2]


def server_process(log_dir: Path) -> ServerProcess:
    """Start a server without weights; `wait_ready` waits for it."""
    port = free_port()
    command = ServerCommand(
        name="native engine",
        argv=[sys.executable, "-m", "tests.support.native_server", str(port)],
        environment={"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
        url=f"http://127.0.0.1:{port}",
        token=TOKEN,
        ready_path="/server_info",
        log_path=log_dir / f"engine_{port}.log",
        startup_s=120.0,
        grace_s=1.0,
    )
    return ServerProcess(command)


def main() -> None:
    """Serve until told to end."""
    model = tiny_model()
    engine = NativeEngine(model, concurrency=8, max_context_tokens=1024)
    served = Served(
        engine=engine,
        model=model,
        max_context_tokens=1024,
        tokenizer=None,
        root=Path(),
        token=TOKEN,
        seed=0,
        routed=None,
    )
    ListeningServer(served, listening_socket("127.0.0.1", int(sys.argv[1])), drain_s=1.0).serve(started=lambda: None)


if __name__ == "__main__":
    main()
