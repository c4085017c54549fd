"""A server at an address: it listens, serves until it is told to stop, and then lets what is under way finish.

Everything runs in one event loop of one thread, which ends with the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator
from math import ceil
from typing import Final

import uvicorn
from typing_extensions import override

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.engines.rollout.server.app import EngineServer, Served
from runtime.engines.rollout.server.patience import PatientProtocol

_BACKLOG: Final = 512
# How long those may take to read the end who were told that nothing more comes.
_LAST_WORDS_S: Final = 5
_LOOK_EVERY_S: Final = 0.02
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.  Raises: SpecError RLC0732 if the address is refused."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as fault:
        way = Help("name another one: --port PORT; 0 takes a free one")
        raise SpecError(Diagnostic("RLC0732", f"{host}:{port} cannot be listened at: {fault}", help=(way,))) from fault
    # Connections have it from here.  Without it the second part of each answer waits until the first is acknowledged,
    # which the other side puts off for 40 ms (RFC 896 and RFC 1122, 4.2.3.2).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address of a socket as clients write it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ListeningServer:
    """Serves at a socket until `stop` is called, from any thread, or the process is told to end by a signal.

    Args:
        drain_s: the longest that responses under way are waited for when the server ends.
    """

    def __init__(self, served: Served, listener: socket.socket, *, drain_s: float) -> None:
        self.engine_server = EngineServer(served)
        self._listener, self._drain_s = listener, drain_s
        config = uvicorn.Config(
            self.engine_server.app(),
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            lifespan="on",
            http=PatientProtocol,
            ws="none",
            timeout_graceful_shutdown=ceil(drain_s) + _LAST_WORDS_S,
            # Clients that pause between two questions keep their connection.
            timeout_keep_alive=75,
        )
        self._server = _Server(config)

    def serve(self, *, started: Callable[[], object] = lambda: None) -> None:
        """Serve until the end; `started` is called once requests are answered.

        Raises: what broke the engine, if anything did; all clients have been told then.
        """
        try:
            asyncio.run(self._serve(started))
        finally:
            self._listener.close()
        if self.engine_server.fault is not None:
            raise self.engine_server.fault

    def stop(self) -> None:
        """End: nothing new is taken, and what is under way finishes."""
        self._server.should_exit = True

    async def _serve(self, started: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        # Only the main thread gets signals.
        with contextlib.suppress(ValueError, RuntimeError):
            for number in _SIGNALS:
                loop.add_signal_handler(number, self.stop)
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not (self._server.started or serving.done()):
            await asyncio.sleep(_LOOK_EVERY_S / 4)
        started()
        ending = asyncio.create_task(self._end_late())
        try:
            await serving
        finally:
            ending.cancel()

    async def _end_late(self) -> None:
        """Give what is under way its time after the server was told to stop, and then end it."""
        while not (self._server.should_exit or self.engine_server.fault):
            await asyncio.sleep(_LOOK_EVERY_S)
        if self.engine_server.fault is None:
            await asyncio.sleep(self._drain_s)
        self.stop()
        self.engine_server.under_way.end()


class _Server(uvicorn.Server):
    """uvicorn's server; signals are handled here, so that the process ends with an exit code of its own."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
