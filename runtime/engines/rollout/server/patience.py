"""HTTP connections that are closed where a client begins a request and does not end its head.

uvicorn bounds how long a connection idles between two requests; before the first and within a head it waits for ever.
"""

from __future__ import annotations

import asyncio

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.engines.rollout.server.connections import SILENCE_MAX_S


class PatientProtocol(H11Protocol):
    """A connection whose heads have to come whole within `head_s` seconds."""

    head_s = SILENCE_MAX_S
    _head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._watch(is_waiting=True)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch(is_waiting=self.conn.their_state is h11.IDLE)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._watch(is_waiting=False)
        super().connection_lost(exc)

    def _watch(self, *, is_waiting: bool) -> None:
        if not is_waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif is_waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self.transport.close)
