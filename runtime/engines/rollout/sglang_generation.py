"""Requests under way on a rollout server: each `submit` is one stream of /generate, and carries many prompts.

Everything here runs in the loop of the connection, so that responses come in while the caller computes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Literal, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.ir.openness import Off
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.routed_experts import RoutedLayers, read
from runtime.engines.rollout.server_connection import (
    PART_TOKENS,
    ServerConnection,
    ServerPlace,
    refused,
    unreadable,
)
from runtime.protocols import Completion, GenerationRequest
from stdlib.samples import ExpertIds

_GENERATE: Final = "/generate"
_BROKEN_OFF: Final = 503


class _Place(NamedTuple):
    """Where a response stands among those of a generation, and what it answers."""

    idx: int
    sample: int
    request: GenerationRequest


class Kept(NamedTuple):
    """Of how many tokens SGLang gives log-probs after a filter, and how many the model has, 0 where nobody has said."""

    most: int
    vocab_size: int


class HttpGeneration:
    """A generation on a server.

    Args:
        name: of all that it asks for, on the server.
        routed: where the experts are that are asked for, or None where they are not.
        kept: what SGLang is asked for where a filter keeps some tokens only, or None for a server of rlc, which draws
            by name and in lockstep.
        check: raises InternalError where the server was given no weights.
    """

    def __init__(
        self,
        connection: ServerConnection,
        place: ServerPlace,
        name: str,
        *,
        routed: RoutedLayers | None,
        kept: Kept | None,
        check: Callable[[], None],
    ) -> None:
        self._connection, self._place, self._name = connection, place, name
        self._is_native, self._check, self._routed = kept is None, check, routed
        self._kept = kept
        self._num_requests = 0
        self._outstanding: dict[str, _Place] = {}
        self._arrived: dict[str, Completion] = {}
        # What has ended, in the order in which it is given to the caller.
        self._order: deque[str] = deque()
        self._news = asyncio.Condition()
        self._streams: set[asyncio.Task[None]] = set()
        self._fault: SpecError | None = None
        # A wait that its caller has given up: what it finds is the next response.
        self._pending: Future[Completion | None] | None = None

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Send requests; they are numbered on from those before.

        Raises: SpecError if one cannot be served (then none is), or if the server does not take them.
        """
        self._check()
        if requests:
            self._connection.run(self._send_alike(requests, self._num_requests))

    async def next(self) -> Completion | None:
        """Return the next finished response, or None; a call that is cancelled loses none.

        Raises: SpecError if the server fails or is gone.
        """
        if self._pending is None:
            self._pending = self._connection.start(
                self._next_in_lockstep() if self._is_native else self._next_to_arrive()
            )
        try:
            found = await asyncio.shield(asyncio.wrap_future(self._pending))
        except SpecError:
            self._pending = None
            raise
        self._pending = None
        return found

    def abort(self) -> list[Completion]:
        """Stop what is outstanding on the server, and return what there is of it."""
        pending, self._pending = self._pending, None
        # In lockstep, what is broken off and when follows from the requests: the server is let finish what it was told.
        before = _result(pending) if self._is_native else None
        found = self._connection.run(self._abort())
        before = before or (None if self._is_native else _result(pending))
        return found if before is None or not before.tokens else [before, *found]

    async def _send_alike(self, requests: Sequence[GenerationRequest], first: int) -> None:
        """Send requests, those of SGLang that are filtered by themselves: what it says of them is asked for by body."""
        numbered = list(enumerate(requests, first))
        kinds = [numbered]
        if not self._is_native:
            kinds = [[pair for pair in numbered if _is_filtered(pair[1].sampling) is kind] for kind in (False, True)]
        try:
            for kind in kinds:
                if kind:
                    await self._send(kind)
        except SpecError:
            for rid in [i for i, place in self._outstanding.items() if place.idx >= first]:
                del self._outstanding[rid]
            raise
        self._num_requests += len(requests)

    async def _send(self, numbered: Sequence[tuple[int, GenerationRequest]]) -> None:
        requests = [request for _, request in numbered]
        items = [item for idx, r in numbered for item in self._items(idx, r)]
        rids = [rid for rid, _, _ in items]
        body: dict[str, Any] = {
            "rid": rids,
            "input_ids": [list(r.tokens) for _, r, _ in items],
            "sampling_params": [self._params(r, sample) for _, r, sample in items],
            "return_logprob": True,
            **self._starts([r for _, r, _ in items]),
            "stream": True,
            **self._wanted(requests),
            **({} if self._routed is None else {"return_routed_experts": True}),
        }
        if not self._is_native and _is_filtered(requests[0].sampling):
            # SGLang's own log-probs are those before top-k and top-p; these are those of what was drawn from.
            body |= {"return_sampling_mask": True, "sampling_logprobs_mode": "selected"}
        for (rid, request, sample), idx in zip(items, self._indices(numbered), strict=True):
            for number in range(request.num_samples if self._is_native else 1):
                self._outstanding[self._id(rid, request, number)] = _Place(idx, sample + number, request)
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream = asyncio.create_task(self._read(body, taken))
        self._streams.add(stream)
        stream.add_done_callback(self._streams.discard)
        await taken

    def _wanted(self, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
        """Return what is to be said about each token beside its own log-prob: the same for all requests of a body."""
        wanted = {(r.top_logprobs, r.logprob_token_ids) for r in requests}
        if len(wanted) > 1:
            raise InternalError("requests that are sent together ask for different log-probs")
        top_logprobs, token_ids = next(iter(wanted))
        found: dict[str, Any] = {"top_logprobs_num": top_logprobs} if top_logprobs else {}
        return {**found, "token_ids_logprob": list(token_ids)} if token_ids else found

    def _starts(self, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
        """Return from which token on each prompt is listed with log-probs; the first one listed has none."""
        if all(r.prompt_logprobs_from is None for r in requests):
            return {}
        scaled = {r.sampling.temperature for r in requests if r.prompt_logprobs_from is not None} - {0.0, 1.0}
        if scaled and not self._is_native:
            way = Help("ask at temperature 1, or ask a server of rlc")
            fact = f"SGLang gives log-probs of a prompt at temperature 1, not at {min(scaled):g}"
            raise SpecError(Diagnostic("RLC0737", fact, help=(way,), paths=("rollout.temperature",)))
        starts = [-1 if r.prompt_logprobs_from is None else r.prompt_logprobs_from - 1 for r in requests]
        return {"logprob_start_len": starts}

    def _items(self, idx: int, request: GenerationRequest) -> list[tuple[str, GenerationRequest, int]]:
        """Return the prompts that a request is sent as: SGLang aborts by the name of one response, so each has one."""
        if self._is_native:
            return [(f"{self._name}-{idx}", request, 0)]
        return [(f"{self._name}-{idx}-{sample}", request, sample) for sample in range(request.num_samples)]

    def _indices(self, numbered: Sequence[tuple[int, GenerationRequest]]) -> list[int]:
        return [idx for idx, r in numbered for _ in range(1 if self._is_native else r.num_samples)]

    def _id(self, rid: str, request: GenerationRequest, sample: int) -> str:
        return f"{rid}_{sample}" if self._is_native and request.num_samples > 1 else rid

    def _params(self, request: GenerationRequest, sample: int) -> dict[str, Any]:
        settings = request.sampling
        params: dict[str, Any] = {
            "max_new_tokens": request.max_new_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": self._top_k(settings),
            "stop": list(request.stop_strings),
            "stop_token_ids": sorted(request.stop_token_ids),
            "min_new_tokens": request.min_new_tokens,
            "ignore_eos": True,
        }
        if not self._is_native:
            # Another server knows nothing of what was drawn before.
            left = max(0, request.min_new_tokens - request.first_draw)
            # SGLang passes over stop tokens where it passes over the model's own end.
            ignores = not request.stop_token_ids
            return {**params, "min_new_tokens": left, "stream_interval": PART_TOKENS, "ignore_eos": ignores}
        key = request.key
        draw = [key.seed, key.stage, key.step, key.group, request.first_sample + sample, request.first_draw]
        custom = {"rlc_draw": draw, "rlc_lockstep": self._name, "rlc_keeps_prefix": request.keeps_prefix}
        return {**params, "n": request.num_samples, "custom_params": custom}

    def _top_k(self, settings: Sampling) -> int:
        """Return how many tokens are drawn from; SGLang gives log-probs after a filter for a limited number only."""
        top_k = settings.top_k
        if self._kept is None or not _is_filtered(settings):
            return -1 if isinstance(top_k, Off) else top_k
        most = self._kept.most
        vocab_size = self._kept.vocab_size or most + 1
        wanted = vocab_size if isinstance(top_k, Off) else min(top_k, vocab_size)
        if wanted > most:
            fact = f"SGLang gives log-probs after a filter for {most} tokens, and top_k = {top_k} keeps {wanted}"
            way = Help(f"start it with --sampling-mask-max-tokens {wanted}, or set top_k = {most}")
            raise SpecError(Diagnostic("RLC0737", fact, help=(way,), paths=("rollout.top_k",)))
        return wanted

    async def _read(self, body: dict[str, Any], taken: asyncio.Future[None]) -> None:
        try:
            async with self._connection.events(_GENERATE, body) as events:
                taken.set_result(None)
                await self._take_in(events)
        except SpecError as fault:
            if not taken.done():
                taken.set_exception(fault)
                return
            async with self._news:
                self._fault = self._fault or fault
                self._news.notify_all()

    async def _take_in(self, events: AsyncGenerator[dict[str, Any]]) -> None:
        async for event in events:
            try:
                meta = event["meta_info"]
                if meta["finish_reason"] is None:
                    continue
                rid = meta["id"]
                self._raise_refusal(meta["finish_reason"])
                completion = _completion(self._outstanding[rid], event, self._routed)
            except (KeyError, TypeError, ValueError, IndexError) as fault:
                raise unreadable(self._place, _GENERATE, f"{type(fault).__name__}: {fault}") from fault
            async with self._news:
                self._arrived[rid] = completion
                if not self._is_native:
                    self._order.append(rid)
                self._news.notify_all()

    def _raise_refusal(self, reason: dict[str, Any]) -> None:
        """Raise what SGLang says in the stream of a request that it does not serve; being broken off is no fault."""
        status = reason.get("status_code")
        if reason["type"] == "abort" and isinstance(status, int) and status >= 400 and status != _BROKEN_OFF:
            raise refused(self._place, _GENERATE, f"status {status}: {reason.get('message')}")

    async def _next_in_lockstep(self) -> Completion | None:
        """Return the next response that ended, or have the server draw until some do."""
        while self._outstanding and not self._order:
            self._raise_fault()
            try:
                # Not asked twice: the second time would be for the responses after those.
                answer = await self._connection.post("/continue_generation", {"rlc_lockstep": self._name}, again=False)
            except SpecError as fault:
                self._fault = fault
                raise
            self._order += answer["ids"]
            if not self._order and not answer["has_more"]:
                # Somebody else has broken it off: what there was of it is on its way.
                await asyncio.gather(*self._streams)
                self._order += sorted(self._arrived, key=lambda rid: self._outstanding[rid][:2])
        return await self._next_to_arrive()

    async def _next_to_arrive(self) -> Completion | None:
        if not self._outstanding:
            return None
        async with self._news:
            await self._news.wait_for(
                lambda: self._fault or not self._outstanding or (self._order and self._order[0] in self._arrived)
            )
        self._raise_fault()
        if not self._outstanding:
            return None
        rid = self._order.popleft()
        del self._outstanding[rid]
        return self._arrived.pop(rid)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    async def _abort(self) -> list[Completion]:
        if self._fault is None and self._outstanding:
            rids = [self._name] if self._is_native else [r for r in self._outstanding if r not in self._arrived]
            for rid in rids:
                await self._connection.post("/abort_request", {"rid": rid}, again=True)
            await asyncio.gather(*self._streams)
        for stream in self._streams:
            stream.cancel()
        late = sorted(self._arrived.keys() - set(self._order), key=lambda rid: self._outstanding[rid][:2])
        found = [self._arrived[rid] for rid in (*self._order, *late) if rid in self._arrived]
        found = [completion for completion in found if completion.tokens]
        async with self._news:
            self._outstanding.clear()
            self._arrived.clear()
            self._order.clear()
            self._news.notify_all()
        return found


def _result(pending: Future[Completion | None] | None) -> Completion | None:
    """Return what a wait has found, and nothing where it failed: the fault stands in the next one."""
    if pending is None:
        return None
    with contextlib.suppress(SpecError):
        return pending.result()
    return None


def _completion(place: _Place, event: dict[str, Any], routed: RoutedLayers | None) -> Completion:
    meta = event["meta_info"]
    drawn = meta["output_token_logprobs"]
    tokens = tuple(int(token) for _, token, *_ in drawn)
    logprobs = meta.get("output_token_sampling_logprobs") or [logprob for logprob, *_ in drawn]
    if len(logprobs) != len(tokens):
        raise ValueError(f"{len(logprobs)} log-probs for {len(tokens)} tokens")
    return Completion(
        request=place.idx,
        sample=place.sample,
        tokens=tokens,
        logprobs=tuple(float(p) for p in logprobs),
        versions=_versions(meta, len(tokens)),
        finish=_finish(meta["finish_reason"]["type"]),
        stop_reason=meta["finish_reason"].get("matched"),
        expert_ids=_experts(place.request, meta, routed, len(tokens)),
        num_cached_tokens=int(meta.get("cached_tokens") or 0),
        prompt_logprobs=_of_prompt(place.request, meta) if tokens else (),
        token_logprobs=_named(meta.get("output_token_ids_logprobs") or ()),
        top_logprobs=_likeliest(meta.get("output_top_logprobs") or ()),
        prompt_token_logprobs=_named(_rows_of_prompt(place.request, meta, "input_token_ids_logprobs")),
        prompt_top_logprobs=_likeliest(_rows_of_prompt(place.request, meta, "input_top_logprobs")),
    )


def _named(rows: Sequence[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(p for p, *_ in row) for row in rows)


def _likeliest(rows: Sequence[Any]) -> tuple[tuple[tuple[int, float], ...], ...]:
    return tuple(tuple((t, p) for p, t, *_ in row) for row in rows)


def _of_prompt(request: GenerationRequest, meta: dict[str, Any]) -> tuple[float, ...]:
    if request.prompt_logprobs_from is None:
        return ()
    found = tuple(float(p) for p, *_ in meta["input_token_logprobs"][1:])
    if len(found) != len(request.tokens) - request.prompt_logprobs_from:
        raise ValueError(f"{len(found)} log-probs of a prompt from {request.prompt_logprobs_from} on")
    return found


def _rows_of_prompt(request: GenerationRequest, meta: dict[str, Any], name: str) -> list[Any]:
    """Return what a server says beside the tokens of a prompt; beside the first of them it says nothing."""
    return (meta.get(name) or [])[1:] if request.prompt_logprobs_from is not None else []


def _experts(
    request: GenerationRequest, meta: dict[str, Any], routed: RoutedLayers | None, num_drawn: int
) -> ExpertIds | None:
    if routed is None or not num_drawn:
        return None
    return read(meta["routed_experts"], routed, num_tokens=len(request.tokens) + num_drawn - 1)


def _versions(meta: dict[str, Any], count: int) -> tuple[int, ...]:
    spans = meta.get("weight_versions")
    if spans is None:
        spans = [{"version": meta["weight_version"], "start": 0, "end": count}]
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


def _is_filtered(settings: Sampling) -> bool:
    return settings.temperature > 0 and (settings.top_p < 1 or not isinstance(settings.top_k, Off))
