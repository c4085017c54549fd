"""Requests under way on vLLM: each sample is one stream of /inference/v1/generate, as several are refused where greedy.

A request that asks for log-probs of its prompt is no stream, since vLLM says them in whole answers only: it is taken
when it is answered.  What is broken off is what has come of a stream that is closed, and vLLM lets go of the request.
Which versions drew it is said at its end only: where weights have changed since it began, nothing comes back of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Literal

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.openness import Off
from runtime.engines.rollout.server_connection import ServerConnection, ServerPlace, unreadable
from runtime.protocols import Completion, GenerationRequest

_GENERATE: Final = "/inference/v1/generate"


class _Stream:
    """One sample of a request, and what has come of it."""

    def __init__(self, idx: int, sample: int, request: GenerationRequest, version: int | None) -> None:
        self.idx, self.sample, self.request, self.version = idx, sample, request, version
        self.task: asyncio.Task[None] | None = None
        self.prompt: Sequence[dict[str, Any] | None] = ()
        self.parts: list[dict[str, Any]] = []


class VllmGeneration:
    """A generation on a server.

    Args:
        name: of all that it asks for, on the server.
        version: returns that of the weights that the server has.
    """

    def __init__(
        self, connection: ServerConnection, place: ServerPlace, name: str, *, version: Callable[[], int | None]
    ) -> None:
        self._version = version
        self._connection, self._place, self._name = connection, place, name
        self._num_requests = 0
        self._num_outstanding = 0
        self._streams: list[_Stream] = []
        self._arrived: deque[Completion] = deque()
        self._news = asyncio.Condition()
        self._fault: SpecError | None = None
        self._pending: Future[Completion | None] | None = None

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Send requests; they are numbered on from those before.

        Raises: SpecError if one cannot be served (then none is), or if the server does not take them.
        """
        if requests:
            self._connection.run(self._send(requests))

    async def next(self) -> Completion | None:
        """Return the next finished response, or None; a call that is cancelled loses none.

        Raises: SpecError if the server fails or is gone.
        """
        if self._pending is None:
            self._pending = self._connection.start(self._next_to_arrive())
        try:
            found = await asyncio.shield(asyncio.wrap_future(self._pending))
        except SpecError:
            self._pending = None
            raise
        self._pending = None
        return found

    def abort(self) -> list[Completion]:
        """Stop what is outstanding on the server, and return what there is of it."""
        found = self._connection.run(self._abort())
        pending, self._pending = self._pending, None
        before: Completion | None = None
        if pending is not None:
            with contextlib.suppress(SpecError):
                before = pending.result()
        return found if before is None else [before, *found]

    async def _send(self, requests: Sequence[GenerationRequest]) -> None:
        if any(request.logprob_token_ids for request in requests):
            fact = f"vLLM at {self._place.url} is not asked for log-probs of named tokens"
            raise SpecError(Diagnostic("RLC0737", fact, help=(Help("ask for the likeliest ones, or ask SGLang"),)))
        numbered = enumerate(requests, self._num_requests)
        streams = [_Stream(idx, sample, r, self._version()) for idx, r in numbered for sample in range(r.num_samples)]
        taken: list[asyncio.Future[None]] = []
        for stream in streams:
            taken.append(asyncio.get_running_loop().create_future())
            stream.task = asyncio.create_task(self._read(stream, taken[-1]))
        faults = [fault for fault in await asyncio.gather(*taken, return_exceptions=True) if fault is not None]
        if faults:
            await _stopped(streams)
            raise faults[0]
        self._streams += streams
        self._num_requests += len(requests)
        self._num_outstanding += sum(request.num_samples for request in requests)

    def _id(self, stream: _Stream) -> str:
        return f"{self._name}-{stream.idx}-{stream.sample}"

    def _body(self, stream: _Stream) -> dict[str, Any]:
        request, settings = stream.request, stream.request.sampling
        params: dict[str, Any] = {
            "max_tokens": request.max_new_tokens,
            "min_tokens": max(0, request.min_new_tokens - request.first_draw),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": 0 if isinstance(settings.top_k, Off) else settings.top_k,
            "stop_token_ids": sorted(request.stop_token_ids),
            "stop": list(request.stop_strings),
            "include_stop_str_in_output": True,
            "detokenize": bool(request.stop_strings),
            "ignore_eos": True,
            # The one that was drawn is listed among them, and counted.
            "logprobs": request.top_logprobs + 1 if request.top_logprobs else 0,
        }
        if request.prompt_logprobs_from is not None:
            params["prompt_logprobs"] = request.top_logprobs
        return {
            "request_id": self._id(stream),
            "token_ids": list(request.tokens),
            "sampling_params": params,
            "stream": True,
        }

    async def _read(self, stream: _Stream, taken: asyncio.Future[None]) -> None:
        try:
            if stream.request.prompt_logprobs_from is not None:
                answer = await self._connection.post(_GENERATE, {**self._body(stream), "stream": False}, again=False)
                await self._take_in(stream, answer)
                taken.set_result(None)
                return
            async with self._connection.events(_GENERATE, self._body(stream)) as events:
                taken.set_result(None)
                async for event in events:
                    await self._take_in(stream, event)
        except SpecError as fault:
            if not taken.done():
                taken.set_exception(fault)
                return
            async with self._news:
                self._fault = self._fault or fault
                self._news.notify_all()

    async def _take_in(self, stream: _Stream, event: dict[str, Any]) -> None:
        try:
            stream.prompt = event.get("prompt_logprobs") or stream.prompt
            for choice in event["choices"]:
                stream.parts.append(choice)
                if choice["finish_reason"] is None:
                    continue
                completion = _completion(stream, choice)
                async with self._news:
                    self._arrived.append(completion)
                    self._news.notify_all()
        except (KeyError, TypeError, ValueError, IndexError) as fault:
            raise unreadable(self._place, _GENERATE, f"{type(fault).__name__}: {fault}") from fault

    async def _next_to_arrive(self) -> Completion | None:
        async with self._news:
            await self._news.wait_for(lambda: self._fault or self._arrived or not self._num_outstanding)
        if self._arrived:
            self._num_outstanding -= 1
            return self._arrived.popleft()
        if self._fault is not None:
            raise self._fault
        return None

    async def _abort(self) -> list[Completion]:
        await _stopped(self._streams)
        found = list(self._arrived)
        for stream in self._streams:
            is_ended = bool(stream.parts) and stream.parts[-1]["finish_reason"] is not None
            if not is_ended and stream.version == self._version():
                found.append(_completion(stream, {"finish_reason": "abort"}))
        async with self._news:
            self._streams.clear()
            self._arrived.clear()
            self._num_outstanding = 0
            self._news.notify_all()
        return [completion for completion in found if completion.tokens]


async def _stopped(streams: Sequence[_Stream]) -> None:
    tasks = [stream.task for stream in streams if stream.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _completion(stream: _Stream, last: dict[str, Any]) -> Completion:
    request, parts = stream.request, stream.parts
    rows = [row for part in parts for row in ((part.get("logprobs") or {}).get("content") or ())]
    tokens = tuple(int(token) for part in parts for token in part["token_ids"] or ())
    if [row["token_id"] for row in rows] != list(tokens):
        raise ValueError(f"log-probs of {len(rows)} tokens for {len(tokens)}")
    return Completion(
        request=stream.idx,
        sample=stream.sample,
        tokens=tokens,
        logprobs=tuple(float(row["logprob"]) for row in rows),
        versions=_versions(stream, last, len(tokens)),
        finish=_finish(last["finish_reason"]),
        stop_reason=last.get("stop_reason"),
        prompt_logprobs=_of_prompt(request, stream.prompt),
        top_logprobs=tuple(_likeliest(row["top_logprobs"], request.top_logprobs) for row in rows)
        if request.top_logprobs
        else (),
    )


def _versions(stream: _Stream, last: dict[str, Any], count: int) -> tuple[int, ...]:
    if last["finish_reason"] == "abort" and stream.version is not None:
        return (stream.version,) * count
    spans = last.get("weight_versions") or ()
    found = tuple(int(span["version"]) for span in spans for _ in range(span["start"], span["end"]))
    if len(found) != count:
        raise ValueError(f"versions of {len(found)} tokens for {count}")
    return found


def _finish(kind: str) -> Literal["stop", "length", "abort"]:
    match kind:
        case "stop" | "length" | "abort":
            return kind
        case _:
            raise ValueError(f"finish_reason is {kind!r}")


def _likeliest(row: Sequence[dict[str, Any]], num: int) -> tuple[tuple[int, float], ...]:
    """Return the likeliest tokens; vLLM lists the one that was drawn before them, whether it is among them or not."""
    ranked = sorted({one["token_id"]: one["logprob"] for one in row}.items(), key=lambda one: -one[1])
    return tuple((int(token), float(logprob)) for token, logprob in ranked[:num])


def _of_prompt(request: GenerationRequest, rows: Sequence[dict[str, Any] | None]) -> tuple[float, ...]:
    if request.prompt_logprobs_from is None:
        return ()
    first = request.prompt_logprobs_from
    found = [row[str(token)]["logprob"] for row, token in zip(rows[first:], request.tokens[first:], strict=True) if row]
    if len(found) != len(request.tokens) - first:
        raise ValueError(f"{len(found)} log-probs of a prompt from {first} on")
    return tuple(map(float, found))
