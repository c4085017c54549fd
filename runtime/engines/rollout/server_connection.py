"""The line to a rollout server: requests over HTTP from code that waits and from code that does not.

Connections live in an event loop of their own, in a thread that ends with the connection: a `RolloutEngine` is asked by
functions that wait (weights, abort) while tasks of the caller's loop wait for responses.

Every wait ends: each attempt has a timeout, and of a stream the silence between two lines is bounded (a server of rlc
says every two seconds that it is alive; SGLang sends a part of each response every `PART_TOKENS` tokens).  Only what
can be asked twice without harm is asked again, after growing pauses, where no answer came or the server was not ready.
"""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx2

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

T = TypeVar("T")

PART_TOKENS: Final = 64
_MAY_PASS: Final = frozenset((408, 425, 429, 502, 503, 504))
_FIRST_PAUSE_S: Final = 0.1
_MOST_OF_A_MESSAGE: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerPlace:
    """Where a rollout server is, and how long it is waited for.

    Args:
        url: such as `http://127.0.0.1:30000`.
        token: what it asks for, or nothing.
        answer_s: the longest that one answer takes, weights among them.
        silence_s: the longest that a server says nothing while it generates.
        attempts: of a request that may be asked again.
    """

    url: str
    token: str
    answer_s: float
    silence_s: float
    attempts: int


class ServerConnection:
    """Asks one server.  It is closed by `close`, or when nobody holds it any more."""

    def __init__(self, place: ServerPlace) -> None:
        self._place = place
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rollout server", daemon=True)
        self._thread.start()
        headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
        # Not what the environment says of proxies: the place names the server.
        self._client = httpx2.AsyncClient(
            base_url=place.url, headers=headers, limits=httpx2.Limits(), follow_redirects=False, trust_env=False
        )
        self._finalizer = weakref.finalize(self, _close, self._loop, self._thread, self._client)

    def close(self) -> None:
        """Close all connections and end the thread."""
        self._finalizer()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the connection's loop and wait for it."""
        return self.start(work).result()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Do something in the connection's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def get(self, path: str) -> Any:
        """Return the JSON that stands at an address.  Raises: SpecError as `post`."""
        return _read(path, await self._asked("GET", path, None, attempts=self._place.attempts), self._place)

    async def post(self, path: str, body: object, *, again: bool) -> Any:
        """Return the JSON of an answer, None where it is empty.

        Args:
            again: whether it may be asked twice.

        Raises: SpecError RLC0729 if no answer comes, RLC0730 or the server's own codes if it refuses, RLC0731 if the
        answer is no JSON.
        """
        reply = await self._asked("POST", path, body, attempts=self._place.attempts if again else 1)
        return _read(path, reply, self._place)

    async def post_for_bytes(self, path: str, body: object) -> bytes:
        """Return the content of an answer; asked again where none came.  Raises: SpecError as `post`."""
        return (await self._asked("POST", path, body, attempts=self._place.attempts)).content

    @asynccontextmanager
    async def events(self, path: str, body: object) -> AsyncGenerator[AsyncGenerator[dict[str, Any]]]:
        """Open a stream of server-sent events, up to `[DONE]`; entering it says that the request was taken.

        Raises: SpecError RLC0729 if the server is gone or silent, RLC0730 or its own codes if it refuses.
        """
        place = self._place
        timeout = httpx2.Timeout(place.silence_s, connect=place.answer_s, write=place.answer_s)
        try:
            async with self._client.stream(
                "POST", path, content=_dumped(body), headers=_JSON, timeout=timeout
            ) as reply:
                if reply.status_code != 200:
                    await reply.aread()
                    raise _refused(path, reply, place)
                yield self._events_of(path, reply)
        except httpx2.TransportError as fault:
            raise no_answer(place, path, fault) from fault

    async def _events_of(self, path: str, reply: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
        async for line in reply.aiter_lines():
            if not line.startswith("data:"):
                continue
            data = line[len("data:") :].strip()
            if data == "[DONE]":
                return
            event = _parsed(path, data, self._place)
            if "error" in event:
                raise _coded(event) or refused(self._place, path, str(event["error"]))
            yield event
        # A server that ends in the middle closes its connections in order.
        raise no_answer(self._place, path, httpx2.RemoteProtocolError("the stream ended in the middle"))

    async def _asked(self, method: str, path: str, body: object, *, attempts: int) -> httpx2.Response:
        place, left = self._place, attempts
        content = None if body is None else _dumped(body)
        while True:
            left -= 1
            try:
                reply = await self._client.request(
                    method, path, content=content, headers=_JSON if body is not None else {}, timeout=place.answer_s
                )
            except httpx2.TransportError as fault:
                if not left:
                    raise no_answer(place, path, fault) from fault
            else:
                if reply.status_code == 200:
                    return reply
                if not left or reply.status_code not in _MAY_PASS:
                    raise _refused(path, reply, place)
            await asyncio.sleep(_FIRST_PAUSE_S * 2 ** (attempts - left - 1))


_JSON: Final = {"Content-Type": "application/json"}


def no_answer(place: ServerPlace, path: str, fault: Exception) -> SpecError:
    """Return the error for a server that is gone, or says nothing."""
    said = f"{type(fault).__name__}{f': {fault}' if str(fault) else ''}"
    way = Help(f"look whether it runs: curl {place.url}/health")
    return SpecError(
        Diagnostic("RLC0729", f"the rollout server at {place.url} did not answer {path}: {said}", help=(way,))
    )


def unreadable(place: ServerPlace, path: str, why: str) -> SpecError:
    """Return the error for an answer that is not what the protocol says."""
    fact = f"what the rollout server at {place.url} answered to {path} cannot be read: {why}"
    return SpecError(Diagnostic("RLC0731", fact[:_MOST_OF_A_MESSAGE]))


def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: httpx2.AsyncClient) -> None:
    async def end() -> None:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await client.aclose()
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    if threading.current_thread() is not thread:
        thread.join()
        loop.close()


def _dumped(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", errors="replace")


def _read(path: str, reply: httpx2.Response, place: ServerPlace) -> Any:
    return _parsed(path, reply.content, place) if reply.content else None


def _parsed(path: str, content: str | bytes, place: ServerPlace) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise unreadable(place, path, f"{content[:60]!r} is no JSON") from fault


def _refused(path: str, reply: httpx2.Response, place: ServerPlace) -> SpecError:
    try:
        coded = _coded(json.loads(reply.content))
    except (ValueError, RecursionError):
        coded = None
    return coded or refused(place, path, f"status {reply.status_code}: {reply.text}")


def refused(place: ServerPlace, path: str, said: str) -> SpecError:
    """Return the error for what a server does not do, in its own words."""
    fact = f"the rollout server at {place.url} refused {path}: {said}"
    return SpecError(Diagnostic("RLC0730", fact[:_MOST_OF_A_MESSAGE]))


def _coded(content: Any) -> SpecError | None:
    """Return what a server of rlc says in codes, or None for what SGLang says."""
    given = content.get("diagnostics") if isinstance(content, dict) else None
    if not isinstance(given, list) or not given:
        return None
    try:
        return SpecError(
            *(
                Diagnostic(str(d["code"]), str(d["message"]), help=tuple(Help(str(text)) for text in d["help"]))
                for d in given
            )
        )
    except (TypeError, KeyError):
        return None
