"""The client of SGLang's interface: without rlc's additions, beside others, and when a server is gone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from typing_extensions import override

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.protocols import Completion, GenerationRequest, RolloutEngine
from tests.contract.rollout_engines import GREEDY, PLAIN, engine_of, generate, request, weights_of
from tests.support.served_engine import client_of, place_of, serving, state_of, wait_until
from tests.support.tiny_model import VOCAB, tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model(tie_embeddings=False)
DONE = b"data: [DONE]\n\n"
Script = Callable[[dict[str, Any]], bytes]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[SGLangEngine]:
    """A client that asks a server of rlc for what SGLang has, and for nothing else."""
    with serving(MODEL, concurrency=4, max_context_tokens=2048, root=tmp_path) as running:
        engine = SGLangEngine(place_of(running.url), weights_dir=tmp_path, uses_additions=False)
        engine.load_weights(iter(weights_of(MODEL).items()), version=1)
        yield engine
        engine.close()


def finished_first(
    engine: RolloutEngine, asked: Sequence[GenerationRequest], num: int
) -> tuple[list[Completion], list[Completion]]:
    """Return the first responses to finish, and what there is of the rest when it is broken off then."""

    async def run() -> tuple[list[Completion], list[Completion]]:
        generation = engine.begin()
        generation.submit(asked)
        found = [await generation.next() for _ in range(num)]
        return [c for c in found if c is not None], generation.abort()

    return asyncio.run(run())


def test_plain_requests_draw_what_is_likeliest_as_an_engine_here_does(plain: SGLangEngine) -> None:
    asked = [request([3, 1], num_samples=3, sampling=GREEDY), request([7], max_new_tokens=30, sampling=GREEDY)]
    expected = generate(engine_of(NativeEngine, MODEL), asked)
    found = generate(plain, asked)
    assert [(c.request, c.sample, c.tokens, c.versions, c.finish) for c in found] == [
        (c.request, c.sample, c.tokens, c.versions, c.finish) for c in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_plain_requests_draw_from_the_distribution(plain: SGLangEngine) -> None:
    found = generate(plain, [request([3, 1], num_samples=50, max_new_tokens=4, sampling=PLAIN)])
    assert len({c.tokens for c in found}) > 40
    again = generate(plain, [request([3, 1], num_samples=50, max_new_tokens=4, sampling=PLAIN)])
    assert [c.tokens for c in again] != [c.tokens for c in found]


def test_a_plain_request_that_goes_on_asks_for_what_its_least_number_still_lacks(plain: SGLangEngine) -> None:
    asked = request([3, 1], max_new_tokens=3, min_new_tokens=8, first_draw=6, sampling=GREEDY)
    (found,) = generate(plain, [asked])
    assert len(found.tokens) == 3


def test_weights_go_through_a_directory_and_come_back_by_name(plain: SGLangEngine, tmp_path: Path) -> None:
    new = weights_of(MODEL, seed=1)
    plain.load_weights(iter(new.items()), version=2)
    assert not list(tmp_path.iterdir())
    held = dict(plain.weights())
    assert held.keys() == new.keys()
    assert all(held[name].equal(tensor) for name, tensor in new.items())
    (found,) = generate(plain, [request([3, 1], sampling=GREEDY)])
    assert found.versions == (2,) * 12


def test_plain_weights_change_while_requests_are_under_way(plain: SGLangEngine) -> None:
    zero = {**weights_of(MODEL), "lm_head.weight": torch.zeros(VOCAB, 32)}
    asked = [request([3, 1], num_samples=2, max_new_tokens=1500, sampling=GREEDY), request([7], max_new_tokens=2)]
    (old, _) = generate(engine_of(NativeEngine, MODEL, max_context_tokens=2048), [asked[0]])

    async def run() -> list[Completion]:
        found: list[Completion] = []
        async for completion in plain.generate(asked):
            if not found:
                plain.load_weights(iter(zero.items()), version=2)
            found.append(completion)
        return found

    short, *long = asyncio.run(run())
    assert short.request == 1
    for completion in long:
        num_old = completion.versions.count(1)
        assert completion.versions == (1,) * num_old + (2,) * (1500 - num_old)
        assert completion.tokens == old.tokens[:num_old] + (0,) * (1500 - num_old)


def test_what_is_broken_off_comes_back_with_its_tokens(plain: SGLangEngine) -> None:
    asked = [request([3, 1], num_samples=6, max_new_tokens=2000, sampling=GREEDY), request([7], max_new_tokens=2)]
    finished, left = finished_first(plain, asked[::-1], 1)
    assert [c.request for c in finished] == [0]
    # Two rows of four are free for what waited; the others had drawn nothing.
    assert {c.finish for c in left} == {"abort"}
    (whole,) = generate(
        engine_of(NativeEngine, MODEL, max_context_tokens=2048), [request([3, 1], max_new_tokens=2000, sampling=GREEDY)]
    )
    assert all(c.tokens == whole.tokens[: len(c.tokens)] for c in left)
    assert generate(plain, [asked[1]])


def test_a_filtered_distribution_needs_log_probs_that_a_server_of_rlc_gives_with_its_additions_only(
    plain: SGLangEngine,
) -> None:
    narrow = Sampling(temperature=1.0, top_p=0.5, top_k=5)
    with pytest.raises(SpecError, match=r"RLC0722.*return_sampling_mask"):
        generate(plain, [request([3, 1], sampling=narrow)])


def test_log_probs_of_a_prompt_are_asked_for_as_sglang_has_them(plain: SGLangEngine) -> None:
    asked = [request([3, 1, 4, 1], prompt_logprobs_from=2, num_samples=2), request([7, 5])]
    first, second, without = generate(plain, asked)
    (expected, *_) = generate(engine_of(NativeEngine, MODEL), asked)
    assert first.prompt_logprobs == second.prompt_logprobs == pytest.approx(expected.prompt_logprobs, abs=1e-5)
    assert without.prompt_logprobs == ()
    warm = Sampling(temperature=0.7, top_p=1.0, top_k=OFF)
    with pytest.raises(SpecError, match=r"RLC0737.*not at 0\.7"):
        generate(plain, [request([3, 1, 4], prompt_logprobs_from=1, sampling=warm)])
    assert generate(plain, [asked[1]])


def test_a_client_that_is_closed_frees_its_rows() -> None:
    with serving(MODEL, concurrency=2, max_context_tokens=9000) as running, client_of(running) as client:
        engine = SGLangEngine(place_of(running.url))
        engine.load_weights(iter(weights_of(MODEL).items()), version=1)
        engine.begin().submit([request([3, 1], num_samples=5, max_new_tokens=8000)])
        assert state_of(client)["num_outstanding"] == 5
        engine.close()
        wait_until(lambda: state_of(client)["num_outstanding"] == 0)
        assert state_of(client)["num_disconnected"] == 5


@contextmanager
def sglang_that_says(script: Script, *, hangs: bool = False) -> Iterator[str]:
    """Serve like SGLang, with these bytes as the answer to /generate, and then go, or say nothing more.

    Args:
        script: is given the body of the request.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(b'{"version": "0.5.23"}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/generate":
                return self.reply(b"{}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(script(body))
            self.wfile.flush()
            if hangs:
                over.wait(30)
            return None

        def reply(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def response(body: dict[str, Any], **meta: object) -> dict[str, Any]:
    """Return one event as SGLang 0.5.23 writes it, without what nobody reads here."""
    known: dict[str, Any] = {
        "id": body["rid"][0],
        "finish_reason": {"type": "length", "length": 2},
        "weight_version": "1",
        "output_token_logprobs": [[-0.5, 4, None], [-0.25, 5, None]],
    }
    return {"text": "", "output_ids": [4, 5], "meta_info": {**known, **meta}}


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def answer_of(url: str, folder: Path, sampling: Sampling = PLAIN) -> Completion:
    """Return what a client reads of one response."""
    place = ServerPlace(url=url, token="", answer_s=5.0, silence_s=0.3, attempts=2)
    engine = SGLangEngine(place, weights_dir=folder)
    try:
        engine.load_weights(iter(weights_of(MODEL).items()), version=1)
        (found,) = generate(engine, [request([3], max_new_tokens=2, sampling=sampling)])
        return found
    finally:
        engine.close()


def test_the_last_event_of_a_response_is_read_and_those_before_are_not(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> bytes:
        assert body["sampling_params"][0]["stream_interval"]
        part = response(body, finish_reason=None, output_token_logprobs=[[-0.5, 4, None]])
        versions = [{"version": "1", "start": 0, "end": 1}, {"version": "2", "start": 1, "end": 2}]
        return event(part) + event(response(body, weight_versions=versions)) + DONE

    with sglang_that_says(script) as url:
        found = answer_of(url, tmp_path)
    assert (found.tokens, found.logprobs, found.versions, found.finish) == ((4, 5), (-0.5, -0.25), (1, 2), "length")


def test_log_probs_of_a_filtered_distribution_are_those_of_what_was_drawn_from(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> bytes:
        assert (body["return_sampling_mask"], body["sampling_logprobs_mode"]) == (True, "selected")
        return event(response(body, output_token_sampling_logprobs=[-0.125, 0.0])) + DONE

    with sglang_that_says(script) as url:
        assert answer_of(url, tmp_path, Sampling(temperature=1.0, top_p=0.5, top_k=5)).logprobs == (-0.125, 0.0)


def partial(body: dict[str, Any]) -> bytes:
    return event(response(body, finish_reason=None))


def unrelated(_: dict[str, Any]) -> bytes:
    return event(response({"rid": ["nobody's"]}))


def with_meta(**meta: object) -> Script:
    return lambda body: event(response(body, **meta))


def fixed(content: bytes) -> Script:
    return lambda body: content


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (fixed(b""), r"RLC0729.*ended in the middle"),
        (partial, r"RLC0729.*ended in the middle"),
        (fixed(event({"error": {"message": "out of memory"}})), r"RLC0730.*out of memory"),
        (fixed(b"data: {]\n\n"), r"RLC0731.*no JSON"),
        (with_meta(output_token_logprobs=None), r"RLC0731.*TypeError"),
        (with_meta(weight_version="default"), r"RLC0731.*default"),
        (with_meta(finish_reason={"type": "odd"}), r"RLC0731.*'odd'"),
        (unrelated, r"RLC0731.*nobody's"),
    ],
)
def test_answers_that_break_off_or_make_no_sense_are_named(script: Script, said: str, tmp_path: Path) -> None:
    with sglang_that_says(script) as url, pytest.raises(SpecError, match=said) as fault:
        answer_of(url, tmp_path)
    assert url in str(fault.value)


def test_a_server_that_goes_silent_in_the_middle_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with sglang_that_says(partial, hangs=True) as url, pytest.raises(SpecError, match=r"RLC0729.*ReadTimeout"):
        answer_of(url, tmp_path)


def test_a_server_that_is_not_there_is_named_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
    place = ServerPlace(url=url, token="", answer_s=0.2, silence_s=0.2, attempts=2)
    with pytest.raises(SpecError, match="RLC0729") as fault:
        SGLangEngine(place)
    assert url in str(fault.value)


def test_a_server_that_says_nothing_is_asked_again_and_then_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
        place = ServerPlace(url=url, token="", answer_s=0.2, silence_s=0.2, attempts=2)
        with pytest.raises(SpecError, match=r"RLC0729.*did not answer /server_info: ReadTimeout"):
            SGLangEngine(place)
        found.setblocking(False)
        assert [found.accept()[0].close() for _ in range(2)] == [None, None]


def test_weights_for_sglang_need_a_directory() -> None:
    with sglang_that_says(fixed(b"")) as url:
        engine = SGLangEngine(place_of(url))
        with pytest.raises(SpecError, match="RLC0735"):
            engine.load_weights(iter(weights_of(MODEL).items()), version=1)
        engine.close()


def test_a_wrong_token_is_refused_by_its_code() -> None:
    with serving(MODEL) as running, pytest.raises(SpecError, match="RLC0724"):
        SGLangEngine(ServerPlace(url=running.url, token="no", answer_s=5, silence_s=5, attempts=1))
