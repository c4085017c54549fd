"""Questions to a service over HTTP: connections bounded and kept open, a timeout for each attempt, growing pauses.

What is tried again is what may pass by itself: a connection that is refused or breaks off, a timeout, the statuses 408,
425, 429 and 5xx.  Another status is an answer, and trying again would not change it.  No redirect is followed, and of a
reply at most 8 MiB are read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.openness import Off
from compiler.ir.reward_settings import Service
from runtime.environ import secret
from runtime.rewards.loops import LoopSlots

_MAY_PASS = frozenset((408, 425, 429))
_LARGEST = 8 << 20


class ServiceError(Exception):
    """A service that gave no answer, in words."""


class ServiceClient:
    """Asks one service.  `num_retries` counts the attempts after the first ones.

    Raises: SpecError RLC0683 if the variable that holds the token is not set.
    """

    def __init__(self, settings: Service) -> None:
        self._settings = settings
        self._headers = _headers(settings)
        self._slots = LoopSlots(settings.max_connections)
        self._client: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.num_retries = 0

    async def ask(self, question: object) -> Any:
        """Return the JSON of the reply.  Raises: ServiceError."""
        settings, fault = self._settings, ""
        body = json.dumps(question, ensure_ascii=False).encode("utf-8", errors="replace")
        async with self._slots():
            for attempt in range(settings.attempts):
                if attempt:
                    self.num_retries += 1
                    await asyncio.sleep(min(settings.backoff_s * 2 ** (attempt - 1), settings.max_backoff_s))
                try:
                    async with asyncio.timeout(settings.timeout_s):
                        status, content = await self._post(body)
                except TimeoutError:
                    fault = f"did not answer within {settings.timeout_s:g} s"
                except httpx2.TransportError as error:
                    fault = f"could not be asked: {type(error).__name__}{f': {error}' if str(error) else ''}"
                else:
                    if status == 200:
                        return _read(content)
                    fault = f"answered with status {status}"
                    if status not in _MAY_PASS and status < 500:
                        raise ServiceError(fault)
        attempts = f"{settings.attempts} attempts" if settings.attempts > 1 else "one attempt"
        raise ServiceError(f"{fault} ({attempts})")

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        async with self._opened().stream("POST", self._settings.url, content=body, headers=self._headers) as reply:
            content = b""
            async for part in reply.aiter_bytes():
                content += part
                if len(content) > _LARGEST:
                    raise ServiceError(f"answered with more than {_LARGEST >> 20} MiB")
            return reply.status_code, content

    def _opened(self) -> httpx2.AsyncClient:
        # Connections belong to one loop, and an executor may run each step in a loop of its own.
        if self._client is None or self._loop is not asyncio.get_running_loop():
            limits = httpx2.Limits(max_connections=self._settings.max_connections)
            # Not what the environment says of proxies: the plan names the service.
            self._client = httpx2.AsyncClient(limits=limits, timeout=None, follow_redirects=False, trust_env=False)
            self._loop = asyncio.get_running_loop()
        return self._client


def _headers(settings: Service) -> Mapping[str, str]:
    found = {"Content-Type": "application/json"}
    if isinstance(settings.token_env, Off):
        return found
    token = secret(settings.token_env)
    if not token:
        raise SpecError(
            Diagnostic(
                "RLC0683",
                f"the environment variable {settings.token_env}, which holds the token for {settings.url}, is not set",
                help=(Help(f"set it: export {settings.token_env}=..."),),
                paths=("reward.token_env",),
            )
        )
    return {**found, "Authorization": f"Bearer {token}"}


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ServiceError(f"answered with what is not JSON: {content[:60]!r}") from error
