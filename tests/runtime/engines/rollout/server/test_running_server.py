"""What happens to a server in the middle of its work: clients that go, pauses, aborts, and weights that change."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import torch
from safetensors.torch import save_file
from typing_extensions import override

from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server.app import Served
from runtime.engines.rollout.server.listening import ListeningServer, listening_socket, url_of
from tests.contract.rollout_engines import GREEDY, engine_of, generate, request, weights_of
from tests.support.served_engine import TOKEN, Running, client_of, give_weights, serving, state_of, wait_until
from tests.support.tiny_model import VOCAB, tiny_model

pytestmark = pytest.mark.torch

# Far more than any test waits for.
CONTEXT = 12_000
MODEL = tiny_model(tie_embeddings=False)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server of two rows, with weights."""
    with serving(MODEL, concurrency=2, max_context_tokens=CONTEXT, root=tmp_path) as found:
        with client_of(found) as client:
            give_weights(client, weights_of(MODEL), "1")
        yield found


@pytest.fixture
def client(running: Running) -> Iterator[httpx2.Client]:
    with client_of(running) as found:
        yield found


def body_of(max_new_tokens: int, **changes: Any) -> dict[str, Any]:
    params = {"max_new_tokens": max_new_tokens, "temperature": 0, **changes.pop("params", {})}
    return {"input_ids": [3, 1], "sampling_params": params, "return_logprob": True, **changes}


def ask_and_leave(running: Running, body: dict[str, Any], is_under_way: Callable[[], bool]) -> None:
    """Send a request, and close the connection in the middle of the answer."""
    place, content = urlsplit(running.url), json.dumps(body).encode()
    with socket.create_connection((place.hostname, place.port)) as line:
        head = f"POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(content)}"
        line.sendall(head.encode() + b"\r\n\r\n" + content)
        wait_until(is_under_way)


def without_last_layer() -> dict[str, torch.Tensor]:
    """Return weights under which all logits are 0: the first of equals is drawn."""
    return {**weights_of(MODEL), "lm_head.weight": torch.zeros(VOCAB, 32)}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_in_the_middle_frees_its_rows_and_no_other_answer_changes(
    running: Running, client: httpx2.Client, stream: bool
) -> None:
    (alone,) = generate(engine_of(NativeEngine, MODEL), [request([3, 1], max_new_tokens=40, sampling=GREEDY)])
    long = body_of(CONTEXT - 2, params={"n": 2}, stream=stream)
    with ThreadPoolExecutor() as pool:
        ask_and_leave(running, long, lambda: state_of(client)["num_outstanding"] == 2)
        # Both rows were taken, so this waits until they are free.
        other = pool.submit(client.post, "/generate", json=body_of(40))
        assert tuple(other.result().json()["output_ids"]) == alone.tokens
    state = state_of(client)
    assert (state["num_disconnected"], state["num_outstanding"], state["num_finished"]) == (2, 0, 1)


def test_a_client_that_goes_while_it_waits_is_forgotten(running: Running, client: httpx2.Client) -> None:
    client.post("/pause_generation", json={"mode": "in_place"})
    ask_and_leave(running, body_of(5, params={"n": 7}), lambda: state_of(client)["num_outstanding"] == 7)
    wait_until(lambda: state_of(client)["num_outstanding"] == 0)
    client.post("/continue_generation")
    assert len(client.post("/generate", json=body_of(4)).json()["output_ids"]) == 4


def test_weights_that_change_in_the_middle_lose_nothing_and_stamp_each_token(client: httpx2.Client) -> None:
    (whole,) = generate(
        engine_of(NativeEngine, MODEL, max_context_tokens=CONTEXT),
        [request([3, 1], max_new_tokens=1200, sampling=GREEDY)],
    )
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(client.post, "/generate", json=body_of(1200)) for _ in range(3)]
        wait_until(lambda: state_of(client)["num_outstanding"] == 3)
        assert client.post("/pause_generation", json={"mode": "in_place"}).json()["status"] == "ok"
        give_weights(client, without_last_layer(), "2")
        assert state_of(client)["num_outstanding"] == 3
        client.post("/continue_generation")
        answers = [a.result().json() for a in asked]
    for answer in answers:
        meta = answer["meta_info"]
        num_old = meta["weight_versions"][0]["end"] if meta["weight_versions"][0]["version"] == "1" else 0
        assert tuple(answer["output_ids"]) == whole.tokens[:num_old] + (0,) * (1200 - num_old)
        assert meta["weight_version"] == "2"
        assert meta["weight_versions"][-1] == {"version": "2", "start": num_old, "end": 1200}
        assert len(meta["output_token_logprobs"]) == 1200
    state = state_of(client)
    assert (state["num_finished"], state["num_aborted"], state["num_weight_updates"]) == (3, 0, 2)


def test_what_is_retracted_goes_on_from_its_tokens_under_the_new_weights(client: httpx2.Client) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(
            client.post, "/generate", json=body_of(1500, params={"temperature": 1.0, "sampling_seed": 5})
        )
        wait_until(lambda: state_of(client)["num_outstanding"] == 1)
        client.post("/pause_generation", json={"mode": "retract"})
        assert client.get("/flush_cache").status_code == 400
        give_weights(client, weights_of(MODEL, seed=1), "2")
        client.post("/continue_generation")
        answer = asked.result().json()
    spans = answer["meta_info"]["weight_versions"]
    num_old = spans[0]["end"] if spans[0]["version"] == "1" else 0
    old, new = answer["output_ids"][:num_old], answer["output_ids"][num_old:]
    assert len(old) + len(new) == 1500
    # The rest is that of a request for it: other keys and values than those of the old weights.
    whole = request([3, 1], max_new_tokens=1500, key=replace(request([3]).key, seed=5, group=0))
    rest = replace(whole, tokens=(3, 1, *old), max_new_tokens=1500 - num_old, first_draw=num_old)
    engine = engine_of(NativeEngine, MODEL, max_context_tokens=CONTEXT, seed=1)
    (expected,) = generate(engine, [rest])
    assert tuple(new) == expected.tokens


def test_a_pause_that_aborts_gives_back_what_there_is_and_holds_what_comes(client: httpx2.Client) -> None:
    with ThreadPoolExecutor() as pool:
        long = pool.submit(client.post, "/generate", json=body_of(CONTEXT - 2))
        wait_until(lambda: state_of(client)["num_outstanding"] == 1)
        client.post("/pause_generation", json={})
        broken = long.result().json()
        assert broken["meta_info"]["finish_reason"]["type"] == "abort"
        assert len(broken["output_ids"]) == len(broken["meta_info"]["output_token_logprobs"]) < CONTEXT - 2
        later = pool.submit(client.post, "/generate", json=body_of(4))
        wait_until(lambda: state_of(client)["num_outstanding"] == 1)
        assert state_of(client)["is_paused"]
        client.post("/continue_generation")
        assert later.result().json()["meta_info"]["finish_reason"] == {"type": "length", "length": 4}


def test_one_request_is_aborted_by_its_name_and_the_others_go_on(client: httpx2.Client) -> None:
    (alone,) = generate(
        engine_of(NativeEngine, MODEL, max_context_tokens=CONTEXT),
        [request([3, 1], max_new_tokens=200, sampling=GREEDY)],
    )
    with ThreadPoolExecutor() as pool:
        long = pool.submit(client.post, "/generate", json=body_of(CONTEXT - 2, rid="long"))
        other = pool.submit(client.post, "/generate", json=body_of(200, rid="other"))
        wait_until(lambda: state_of(client)["num_prompts"] == 2)
        assert client.post("/abort_request", json={"rid": "nobody"}).status_code == 200
        assert client.post("/abort_request", json={"rid": "long"}).status_code == 200
        assert long.result().json()["meta_info"]["finish_reason"]["type"] == "abort"
        assert tuple(other.result().json()["output_ids"]) == alone.tokens
    client.post("/abort_request", json={"abort_all": True})
    assert state_of(client)["num_aborted"] == 1


def test_weights_come_from_a_directory_and_are_shown_by_name(client: httpx2.Client, tmp_path: Path) -> None:
    new = weights_of(MODEL, seed=1)
    (tmp_path / "new").mkdir()
    save_file({name: tensor.clone() for name, tensor in new.items()}, tmp_path / "new" / "model.safetensors")
    reply = client.post("/update_weights_from_disk", json={"model_path": "new", "weight_version": "7"})
    assert (reply.status_code, reply.json()["success"]) == (200, True)
    for path in ("/model_info", "/get_model_info", "/server_info"):
        assert client.get(path).json()["weight_version"] == "7"
    shown = client.post("/get_weights_by_name", json={"name": "model.norm.weight"}).json()
    assert shown == new["model.norm.weight"].tolist()
    rows = client.post("/get_weights_by_name", json={"name": "lm_head.weight", "truncate_size": 2}).json()
    assert rows == new["lm_head.weight"][:2].tolist()
    (expected,) = generate(engine_of(NativeEngine, MODEL, seed=1), [request([3, 1], sampling=GREEDY)])
    assert tuple(client.post("/generate", json=body_of(12)).json()["output_ids"]) == expected.tokens
    assert client.post("/update_weight_version", json={"new_version": "final"}).json()["new_version"] == "final"
    assert client.post("/generate", json=body_of(1)).json()["meta_info"]["weight_version"] == "final"


@pytest.mark.parametrize(
    ("name", "code"), [("pickled", "RLC0620"), ("absent", "RLC0617"), ("short", "RLC0618"), ("random", "RLC0617")]
)
def test_a_directory_that_does_not_fit_leaves_the_weights_in_use(
    client: httpx2.Client, tmp_path: Path, name: str, code: str
) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "short").mkdir()
    save_file({"model.norm.weight": torch.zeros(32)}, tmp_path / "short" / "model.safetensors")
    before = client.post("/generate", json=body_of(12)).json()["output_ids"]
    reply = client.post("/update_weights_from_disk", json={"model_path": name})
    assert reply.status_code == 400
    assert not reply.json()["success"]
    assert code in reply.json()["message"]
    after = client.post("/generate", json=body_of(12)).json()
    assert (after["output_ids"], after["meta_info"]["weight_version"]) == (before, "1")


def test_tensors_that_do_not_fit_leave_the_weights_in_use(client: httpx2.Client) -> None:
    before = client.post("/generate", json=body_of(12)).json()["output_ids"]
    assert client.post("/end_weight_update").json()["diagnostics"][0]["code"] == "RLC0726"
    for changed, code in (
        ({"model.norm.weight": torch.zeros(31)}, "RLC0635"),
        ({"model.nrm.weight": torch.zeros(32)}, "RLC0633"),
    ):
        with pytest.raises(AssertionError, match=code):
            give_weights(client, {**weights_of(MODEL), **changed}, "2")
    after = client.post("/generate", json=body_of(12)).json()
    assert (after["output_ids"], after["meta_info"]["weight_version"]) == (before, "1")


def test_a_policy_that_is_not_a_number_ends_what_is_under_way_and_can_be_mended(client: httpx2.Client) -> None:
    broken = {**weights_of(MODEL), "model.norm.weight": torch.full((32,), torch.nan)}
    give_weights(client, broken, "2")
    reply = client.post("/generate", json=body_of(5))
    assert reply.status_code == 400
    assert "RLC0637" in reply.json()["error"]["message"]
    events = client.post("/generate", json=body_of(5, stream=True)).text
    assert "RLC0637" in events
    give_weights(client, weights_of(MODEL), "3")
    assert client.post("/generate", json=body_of(5)).status_code == 200
    assert state_of(client)["num_failed"] == 2


def test_no_thread_outlives_the_server() -> None:
    before = set(threading.enumerate())
    with serving(MODEL, max_context_tokens=CONTEXT) as running, client_of(running) as client:
        assert client.get("/health").status_code == 503
        give_weights(client, weights_of(MODEL), "1")
        assert client.get("/health").status_code == 200
        client.post("/pause_generation", json={"mode": "in_place"})
        with ThreadPoolExecutor() as pool:
            never = pool.submit(client.post, "/generate", json=body_of(50))
            wait_until(lambda: state_of(client)["num_outstanding"] == 1)
            running.end()
            # It was given a second, and then told so.
            assert (never.result().status_code, never.result().json()["diagnostics"][0]["code"]) == (503, "RLC0727")
    assert set(threading.enumerate()) <= before


class Breaking(NativeEngine):
    """An engine in which something breaks that nobody thought of."""

    @override
    def advance(self) -> None:
        raise ZeroDivisionError("a fault of ours")


def test_an_engine_that_breaks_ends_the_server_and_everybody_is_told() -> None:
    engine = Breaking(MODEL, concurrency=2, max_context_tokens=64)
    served = Served(engine=engine, model=MODEL, max_context_tokens=64, tokenizer=None, root=Path(), token=TOKEN, seed=0)
    listener = listening_socket("127.0.0.1", 0)
    url, server, started = url_of(listener), ListeningServer(served, listener, drain_s=60), threading.Event()
    server.engine_server.under_way.load(iter(weights_of(MODEL).items()), "1")
    with ThreadPoolExecutor() as pool:
        serving_it = pool.submit(server.serve, started=started.set)
        assert started.wait(30)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        reply = httpx2.post(f"{url}/generate", json=body_of(5), headers=headers, timeout=30, trust_env=False)
        assert (reply.status_code, reply.json()["diagnostics"][0]["code"]) == (503, "RLC0727")
        with pytest.raises(ZeroDivisionError):
            serving_it.result()


def test_an_answer_is_sent_at_once_and_does_not_wait_for_an_acknowledgement() -> None:
    with listening_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        line, _ = listener.accept()
        with line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
