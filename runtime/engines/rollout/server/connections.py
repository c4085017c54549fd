"""Connections of a server: who may ask, how much may be sent, and what happens when a client goes.

Everything but /health needs the token.  A body is read up to a limit, whatever its header says of its length.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.server.refusals import (
    RefusalError,
    as_json,
    as_text,
    malformed,
    not_allowed,
    stalled,
    too_large,
)

T = TypeVar("T")

# Between two events of a stream, a comment says that the server is alive.
HEARTBEAT_S: Final = 2.0
# The longest that a client may say nothing in the middle of a request.
SILENCE_MAX_S: Final = 30.0
_OPEN: Final = ("/health", "/health_generate")


class ClientGoneError(Exception):
    """The client of a request has closed its connection."""


class OnlyWithToken:
    """Lets requests pass that carry the token, and those to /health."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or answer with 401."""
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await fault_answer(not_allowed())(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def read_json(request: Request, *, most_bytes: int) -> Any:
    """Return the JSON of a body, an empty object where there is none.

    Raises: RefusalError RLC0720 for what is no JSON, RLC0725 for more than `most_bytes`, RLC0734 for one that
    stalls, ClientGoneError.
    """
    body = bytearray()
    parts = request.stream()
    try:
        while True:
            async with asyncio.timeout(SILENCE_MAX_S):
                part = await anext(parts, None)
            if part is None:
                break
            body += part
            if len(body) > most_bytes:
                raise too_large(most_bytes)
    except TimeoutError as fault:
        raise stalled(len(body), SILENCE_MAX_S) from fault
    except ClientDisconnect as fault:
        raise ClientGoneError from fault
    if not body:
        return dict[str, object]()
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as fault:
        raise RefusalError(400, malformed(f"the body of {request.url.path} is no JSON: {fault}"[:200])) from fault


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; it is cancelled when the client goes.  Raises: ClientGoneError."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for left in (task, gone):
            left.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


class EventStream(Response):
    """Server-sent events, each the JSON of one object, and `[DONE]` at the end."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Mapping[str, object] | None]) -> None:
        """Take the events; None says only that the server is alive."""
        super().__init__()
        del self.headers["content-length"]
        self._events = events

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def write() -> None:
            async with aclosing(self._events) as events:
                async for event in events:
                    line = b": alive\n\n" if event is None else b"data: " + dumped(event) + b"\n\n"
                    await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

        try:
            await while_connected(receive, write())
        except ClientGoneError:
            return


class JsonAnswer(Response):
    """One JSON value."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        return dumped(content)


def dumped(content: object) -> bytes:
    """Return JSON; floats have as many digits as tell them apart from their neighbours."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", errors="replace"
    )


def fault_body(fault: SpecError) -> dict[str, object]:
    """Return a fault in SGLang's form; the coded diagnostics stand beside it."""
    status = fault.status if isinstance(fault, RefusalError) else 400
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": as_text(fault.diagnostics), "type": kind, "code": status, "retryable": status >= 500}
    return {"error": error, "diagnostics": as_json(fault.diagnostics)}


def fault_answer(fault: SpecError) -> Response:
    """Return the answer that says why a request was refused."""
    return JsonAnswer(fault_body(fault), status_code=fault.status if isinstance(fault, RefusalError) else 400)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
