"""SGLang's native HTTP interface over an engine in this process: one handler for each address.

Source: SGLang 0.5.23, `http_server.py` and `io_struct.py`.  What this server adds is optional and named for it: the
`custom_params` of `sampling_params.py`; `rlc_lockstep` of /continue_generation; `load_format = "safetensors"` of
/update_weights_from_tensor; `format = "safetensors"` and `names` of /get_weights_by_name; `rlc` of /server_info; and
`diagnostics` beside each error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Never

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.data.tokenizers import TextTokenizer
from runtime.engines.rollout.routed_experts import RoutedLayers
from runtime.engines.rollout.server.answers import answer, may_be_ending
from runtime.engines.rollout.server.connections import (
    HEARTBEAT_S,
    ClientGoneError,
    EventStream,
    JsonAnswer,
    OnlyWithToken,
    fault_answer,
    fault_body,
    read_json,
    while_connected,
)
from runtime.engines.rollout.server.fields import Fields
from runtime.engines.rollout.server.generate_body import Asked, GenerateBody, read_generate_body
from runtime.engines.rollout.server.group_updates import GroupUpdates
from runtime.engines.rollout.server.jobs import Finished, Job
from runtime.engines.rollout.server.refusals import RefusalError, as_text, malformed, no_address, unrecorded
from runtime.engines.rollout.server.sampling_params import DRAW, KEEPS_PREFIX, LOCKSTEP
from runtime.engines.rollout.server.stepped import SteppedEngine
from runtime.engines.rollout.server.under_way import PAUSE_MODES, UnderWay
from runtime.engines.rollout.server.weight_checks import WeightChecks
from runtime.engines.rollout.server.weight_updates import SAFETENSORS, WeightUpdates, in_one_file, shown
from runtime.protocols import DrawKey, GenerationRequest

_BODY_BYTES: Final = 64 << 20
# What a weight takes as float32 in base64, and what JSON puts around it.
_BYTES_A_WEIGHT: Final = 6
_SHOWN_ROWS: Final = 100

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What a server serves.

    Args:
        engine: with weights or without.
        tokenizer: for texts; without one, prompts are token ids.
        root: the folder that relative paths of weights are below.
        weight_folders: where weights may be read from beside it.
        token: what clients have to send.
        seed: of the draws of requests that name none.
        routed: where the experts are that the engine records; None where it does not.
    """

    engine: SteppedEngine
    model: Model[Never]
    max_context_tokens: int
    tokenizer: TextTokenizer | None
    root: Path
    token: str
    seed: int
    routed: RoutedLayers | None = None
    weight_folders: tuple[Path, ...] = ()


class EngineServer:
    """The application, and what it holds.  `fault` is what broke the engine, if anything did."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.under_way = UnderWay(served.engine)
        self._weights = WeightUpdates(
            served.engine, self.under_way, served.model, root=served.root, folders=served.weight_folders
        )
        self._checks = WeightChecks(served.engine, self.under_way)
        num_weights = sum(tensor.numel() for _, tensor in served.engine.weights())
        self._weight_bytes = _BODY_BYTES + _BYTES_A_WEIGHT * num_weights
        self._groups = GroupUpdates(self._weights, most_bytes=self._weight_bytes)
        self._num_drawn = 0
        self.fault: BaseException | None = None

    def app(self) -> Starlette:
        """Return the ASGI application; while it lives, one task advances the engine."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            task = asyncio.create_task(self.under_way.advance_for_ever())
            task.add_done_callback(self._note_end)
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        weights, get, post, both = self._weights, ["GET"], ["POST"], ["GET", "POST"]
        routes: list[tuple[str, Handler, list[str]]] = [
            ("/health", self._health, get),
            ("/health_generate", self._health, get),
            ("/model_info", self._model_info, get),
            ("/get_model_info", self._model_info, get),
            ("/server_info", self._server_info, get),
            ("/get_server_info", self._server_info, get),
            ("/generate", self._generate, ["POST", "PUT"]),
            ("/abort_request", self._abort, post),
            ("/pause_generation", self._pause, post),
            ("/continue_generation", self._continue, post),
            ("/flush_cache", self._flush, both),
            ("/update_weights_from_disk", partial(self._update, weights.from_disk), post),
            ("/begin_weight_update", partial(self._update, self._begin_update), post),
            ("/update_weights_from_tensor", partial(self._update, self._add_tensors), post),
            ("/end_weight_update", partial(self._update, self._end_update), post),
            ("/init_weights_update_group", partial(self._update, self._groups.join), post),
            ("/update_weights_from_distributed", partial(self._update, self._groups.update), post),
            ("/destroy_weights_update_group", partial(self._update, self._groups.leave), post),
            ("/update_weight_version", self._rename_weights, post),
            ("/get_weights_by_name", self._get_weights, both),
            ("/weights_checker", self._check_weights, both),
        ]

        async def elsewhere(request: Request, _: Exception) -> Response:
            return fault_answer(no_address(request.method, request.url.path, (path for path, _, _ in routes)))

        return Starlette(
            routes=[Route(path, _bordered(handler, self.under_way), methods=m) for path, handler, m in routes],
            middleware=[Middleware(OnlyWithToken, token=self._served.token)],
            exception_handlers={404: elsewhere, 405: elsewhere},
            lifespan=lifespan,
        )

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self.fault = None if task.cancelled() else task.exception()

    async def _health(self, _: Request) -> Response:
        return Response(status_code=200 if self.under_way.is_ready else 503)

    async def _model_info(self, _: Request) -> Response:
        model = self._served.model
        return JsonAnswer(
            {
                "model_path": model.weights,
                "tokenizer_path": model.hf if isinstance(model.hf, str) else model.weights,
                "is_generation": True,
                "preferred_sampling_params": None,
                "weight_version": self.under_way.weight_version,
                "model_type": model.family,
            }
        )

    async def _server_info(self, _: Request) -> Response:
        own = {
            "engine": "native",
            "custom_params": [DRAW, LOCKSTEP, KEEPS_PREFIX],
            "weights": self._weights.sizes(),
            "counters": dict(self._served.engine.counters()),
            "records_experts": self._served.routed is not None,
            "logprobs_of": "the distribution that was drawn from",
        }
        return JsonAnswer(
            {
                "model_path": self._served.model.weights,
                "context_length": self._served.max_context_tokens,
                "tp_size": 1,
                "dp_size": 1,
                "weight_version": self.under_way.weight_version,
                "internal_states": [self.under_way.state()],
                "rlc": own,
            }
        )

    async def _generate(self, request: Request) -> Response:
        tokenizer = self._served.tokenizer
        given = await read_json(request, most_bytes=_BODY_BYTES)
        body = read_generate_body(given, None if tokenizer is None else tokenizer.encode)
        outbox: asyncio.Queue[Finished | SpecError] = asyncio.Queue()
        jobs = [
            Job(
                rid=asked.rid,
                request=self._request(asked),
                outbox=outbox,
                interval=asked.params.stream_interval if body.streams and not body.lockstep else None,
            )
            for asked in body.asked
        ]
        self.under_way.submit(jobs, body.lockstep)
        if body.streams:
            return EventStream(self._events(body, jobs, outbox))
        try:
            found = await while_connected(request.receive, self._all(body, jobs, outbox))
        finally:
            self.under_way.drop(jobs)
        return JsonAnswer(found[0] if body.is_single else found)

    def _request(self, asked: Asked) -> GenerationRequest:
        params = asked.params
        key = params.key
        if key is None:
            key = DrawKey(seed=self._served.seed, stage=0, step=0, group=self._num_drawn)
            self._num_drawn += 1
        room = max(1, self._served.max_context_tokens - len(asked.tokens))
        tokenizer = self._served.tokenizer
        ends = frozenset() if params.ignore_eos or tokenizer is None else frozenset((tokenizer.eos_token_id,))
        if asked.experts_from is not None and self._served.routed is None:
            raise RefusalError(400, unrecorded())
        if params.stop_strings and tokenizer is None:
            raise RefusalError(400, malformed("this server has no tokenizer, so no text ends a response: drop stop"))
        return GenerationRequest(
            stop_strings=params.stop_strings,
            decode=tokenizer.decode if params.stop_strings and tokenizer is not None else None,
            min_new_tokens=params.min_new_tokens,
            prompt_logprobs_from=_first_with_logprob(asked),
            top_logprobs=asked.top_logprobs,
            logprob_token_ids=asked.logprob_token_ids,
            key=key,
            tokens=asked.tokens,
            num_samples=params.num_samples,
            max_new_tokens=room if params.max_new_tokens is None else params.max_new_tokens,
            stop_token_ids=params.stop_token_ids | ends,
            sampling=params.sampling,
            keeps_prefix=params.keeps_prefix,
            first_sample=params.first_sample,
            first_draw=params.first_draw,
        )

    async def _all(
        self, body: GenerateBody, jobs: list[Job], outbox: asyncio.Queue[Finished | SpecError]
    ) -> list[dict[str, object]]:
        """Return all responses in the order of prompts and samples.  Raises: SpecError if they cannot be generated."""
        places = _Places(body, jobs)
        found: dict[int, dict[str, object]] = {}
        while len(found) < places.count:
            item = await outbox.get()
            if isinstance(item, SpecError):
                raise item
            found[places.of(item)] = self._answer(item, places)
        return [found[place] for place in range(places.count)]

    async def _events(
        self, body: GenerateBody, jobs: list[Job], outbox: asyncio.Queue[Finished | SpecError]
    ) -> AsyncGenerator[dict[str, object] | None]:
        """Yield each response as it comes and when it is finished, None where nothing has been said for a while."""
        places, num_left = _Places(body, jobs), sum(job.request.num_samples for job in jobs)
        try:
            while num_left:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        item = await outbox.get()
                except TimeoutError:
                    yield None
                    continue
                if isinstance(item, SpecError):
                    yield fault_body(item)
                    return
                num_left -= item.finish is not None
                if may_be_ending(item, self._served.tokenizer):
                    continue
                response = self._answer(item, places)
                yield response if body.is_single else {**response, "index": places.of(item)}
        finally:
            self.under_way.drop(jobs)

    def _answer(self, finished: Finished, places: _Places) -> dict[str, object]:
        served = self._served
        return answer(
            finished,
            places.asked(finished),
            self.under_way.label,
            tokenizer=served.tokenizer,
            routed=served.routed,
        )

    async def _abort(self, request: Request) -> Response:
        fields = await _fields(request, ("rid", "abort_all"))
        rid, aborts_all = fields.text("rid"), fields.flag("abort_all", default=False)
        fields.close()
        if aborts_all:
            self.under_way.abort_all()
        elif rid:
            self.under_way.abort(rid)
        return Response(status_code=200)

    async def _pause(self, request: Request) -> Response:
        fields = await _fields(request, ("mode",))
        mode = fields.choice("mode", PAUSE_MODES, "abort")
        fields.close()
        self.under_way.pause(next(m for m in PAUSE_MODES if m == mode))
        return JsonAnswer({"message": "Generation paused successfully.", "status": "ok"})

    async def _continue(self, request: Request) -> Response:
        fields = await _fields(request, ("torch_empty_cache", LOCKSTEP))
        lockstep = fields.text(LOCKSTEP)
        fields.close()
        if not lockstep:
            self.under_way.go_on()
            return JsonAnswer({"message": "Generation continued successfully.", "status": "ok"})
        work = self.under_way.next_in_lockstep(lockstep, patience_s=HEARTBEAT_S)
        found, has_more = await while_connected(request.receive, work)
        return JsonAnswer({"message": "", "status": "ok", "ids": found, "has_more": has_more})

    async def _flush(self, _: Request) -> Response:
        if self.under_way.num_outstanding:
            fact = f"{self.under_way.num_outstanding} responses are under way, and need what is cached"
            fault = SpecError(Diagnostic("RLC0726", fact, help=(Help("wait for them, or abort them"),)))
            return Response(as_text(fault.diagnostics) + "\n", status_code=400, media_type="text/plain")
        self._served.engine.forget_prefixes()
        return Response("Cache flushed.\n", media_type="text/plain")

    async def _update(self, update: Callable[[Any], str | Awaitable[str]], request: Request) -> Response:
        given = await read_json(request, most_bytes=self._weight_bytes)
        try:
            told = update(given)
            message = told if isinstance(told, str) else await told
        except SpecError as fault:
            return _failed(fault)
        paused = self.under_way.num_outstanding if self.under_way.is_paused else 0
        return JsonAnswer({"success": True, "message": message, "num_paused_requests": paused})

    async def _check_weights(self, request: Request) -> Response:
        given = await read_json(request, most_bytes=_BODY_BYTES)
        try:
            return JsonAnswer(self._checks.act(given))
        except SpecError as fault:
            return _failed(fault)

    def _begin_update(self, given: object) -> str:
        Fields(given, "the body of /begin_weight_update", ("selector",)).close()
        self._weights.begin()
        return "Weight update opened."

    def _add_tensors(self, given: object) -> str:
        return f"{self._weights.add(given)} tensors taken."

    def _end_update(self, given: object) -> str:
        Fields(given, "the body of /end_weight_update", ()).close()
        self._weights.end()
        return f"Weights are of version {self.under_way.weight_version}."

    async def _rename_weights(self, request: Request) -> Response:
        fields = await _fields(request, ("new_version", "abort_all_requests"))
        label, aborts = fields.text("new_version"), fields.flag("abort_all_requests", default=True)
        if not label:
            fields.wrong("new_version", "a text")
        fields.close()
        if aborts:
            self.under_way.abort_all()
        self.under_way.rename_weights(label)
        return JsonAnswer({"success": True, "message": f"Weight version updated to {label}", "new_version": label})

    async def _get_weights(self, request: Request) -> Response:
        fields = await _fields(request, ("name", "names", "truncate_size", "format"))
        most = fields.integer("truncate_size", _SHOWN_ROWS)
        is_file = fields.choice("format", ("json", SAFETENSORS), "json") == SAFETENSORS
        names = fields.raw("names") if is_file and "names" in fields else [fields.text("name")]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            fields.wrong("names", "a list of names")
        fields.close()
        tensors = self._weights.named(names)
        if is_file:
            return Response(in_one_file(tensors), media_type="application/octet-stream")
        return JsonAnswer(shown(tensors[names[0]], most))


class _Places:
    """Where each response stands in the answer to a request: prompts one after the other, with all their samples."""

    def __init__(self, body: GenerateBody, jobs: list[Job]) -> None:
        self.count = 0
        self._first: dict[int, int] = {}
        self._asked: dict[int, Asked] = {}
        for job, asked in zip(jobs, body.asked, strict=True):
            self._first[id(job)], self._asked[id(job)] = self.count, asked
            self.count += job.request.num_samples

    def of(self, finished: Finished) -> int:
        return self._first[id(finished.job)] + finished.sample

    def asked(self, finished: Finished) -> Asked:
        return self._asked[id(finished.job)]


def _failed(fault: SpecError) -> Response:
    """Return SGLang's answer of a weight update that failed, with the coded diagnostics beside it."""
    content = {"success": False, "message": as_text(fault.diagnostics), **fault_body(fault)}
    return JsonAnswer(content, status_code=fault_answer(fault).status_code)


def _first_with_logprob(asked: Asked) -> int | None:
    """Return the position behind the one that is listed first, if the prompt has it."""
    start = asked.logprobs_from
    return start + 1 if start is not None and start + 1 < len(asked.tokens) else None


async def _fields(request: Request, known: tuple[str, ...]) -> Fields:
    return Fields(await read_json(request, most_bytes=_BODY_BYTES), f"the body of {request.url.path}", known)


def _bordered(handler: Handler, under_way: UnderWay) -> Handler:
    """Return a handler whose refusals are answers."""

    async def call(request: Request) -> Response:
        try:
            return await handler(request)
        except SpecError as fault:
            under_way.counters.num_refused += 1
            return fault_answer(fault)
        except ClientGoneError:
            # Nobody reads this.
            return Response(status_code=499)

    return call
