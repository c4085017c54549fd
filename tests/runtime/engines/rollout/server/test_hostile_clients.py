"""What a server makes of clients that stall, lie, or send anything anywhere: a coded answer, and it goes on serving."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import torch
from safetensors.torch import save, save_file

from runtime.data.tokenizers import CharacterTokenizer
from runtime.engines.rollout.server import connections
from runtime.engines.rollout.server.generate_body import NAMES as FIELDS
from runtime.engines.rollout.server.patience import PatientProtocol
from runtime.engines.rollout.server.sampling_params import NAMES as PARAMS
from tests.contract.rollout_engines import weights_of
from tests.support.served_engine import TOKEN, Running, client_of, give_weights, serving, state_of, wait_until
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model(tie_embeddings=False)
CONTEXT = 8_000
TOKENIZER = CharacterTokenizer("0123456789+=abcdefghijklm")
# JSON, as text: some of it no client of Python would write.
ODD = (
    "true",
    "-1",
    "1e999",
    "NaN",
    "1.5",
    "1" + "0" * 400,
    "9223372036854775808",
    '""',
    '"\\ud800"',
    "[]",
    "[[]]",
    "{}",
    '{"": null}',
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    with serving(MODEL, concurrency=4, max_context_tokens=CONTEXT, tokenizer=TOKENIZER, root=folder) as found:
        with client_of(found) as client:
            give_weights(client, weights_of(MODEL), "1")
        yield found


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx2.Client]:
    with client_of(running) as found:
        yield found


def code_of(reply: httpx2.Response) -> str:
    return reply.json()["diagnostics"][0]["code"]


def generates(client: httpx2.Client) -> bool:
    body = {"input_ids": [1], "sampling_params": {"max_new_tokens": 2, "ignore_eos": True}}
    return len(client.post("/generate", json=body).json()["output_ids"]) == 2


def line_to(running: Running) -> socket.socket:
    place = urlsplit(running.url)
    line = socket.create_connection((place.hostname, place.port))
    line.settimeout(30)
    return line


def answer_on(line: socket.socket) -> tuple[int, bytes]:
    """Return status and body, which may come in several parts."""
    response = HTTPResponse(line)
    response.begin()
    return response.status, response.read()


@pytest.mark.parametrize("name", sorted(FIELDS - {"sampling_params", "stream"}))
def test_every_field_takes_anything_or_names_itself(client: httpx2.Client, name: str) -> None:
    sound = {"input_ids": "[1]", "sampling_params": '{"max_new_tokens": 1}'}
    for odd in ODD:
        fields = {**sound, name: odd} if name != "text" else {"sampling_params": sound["sampling_params"], name: odd}
        content = "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items()) + "}"
        reply = client.post("/generate", content=content)
        assert reply.status_code in (200, 400), (odd, reply.status_code)
        if reply.status_code == 400:
            message = reply.json()["error"]["message"]
            assert code_of(reply).startswith("RLC"), odd
            assert name in message or "request 0" in message or "prompt" in message or "RLC0606" in message, (
                odd,
                message,
            )


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_every_sampling_parameter_takes_anything_or_names_itself(client: httpx2.Client, name: str) -> None:
    for odd in ODD:
        params = f'{{"max_new_tokens": 1, "{name}": {odd}}}'
        reply = client.post("/generate", content=f'{{"input_ids": [1], "sampling_params": {params}}}')
        assert reply.status_code in (200, 400), (odd, reply.status_code)
        if reply.status_code == 400:
            message = reply.json()["error"]["message"]
            assert name in message or "request 0" in message, (odd, message)


@pytest.mark.parametrize(
    "draw", [[1, 1, 1, 1, 1 << 63, 0], [1, 1, 1, 1, 0, 1 << 31], [1, 1, 1, 1, -1, 0], [0.5, 1, 1, 1, 0, 0], "x", 3]
)
def test_draws_that_nothing_can_count_are_refused_before_they_reach_the_engine(
    client: httpx2.Client, draw: Any
) -> None:
    params = {"max_new_tokens": 1, "custom_params": {"rlc_draw": draw}}
    assert code_of(client.post("/generate", json={"input_ids": [1], "sampling_params": params})) == "RLC0720"
    assert generates(client)


def test_a_seed_of_any_size_names_draws(client: httpx2.Client) -> None:
    params = {"max_new_tokens": 3, "ignore_eos": True, "custom_params": {"rlc_draw": [10**60, -(10**60), 0, 0, 0, 0]}}
    reply = client.post("/generate", json={"input_ids": [1], "sampling_params": params})
    assert len(reply.json()["output_ids"]) == 3


def test_more_samples_than_anybody_can_mean_are_refused_at_once(client: httpx2.Client) -> None:
    for body in (
        {"input_ids": [1], "sampling_params": {"n": 10**9}},
        {"input_ids": [[1]] * 3, "sampling_params": {"n": 60_000}},
    ):
        assert code_of(client.post("/generate", json=body)) == "RLC0720"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/abort_request", ("rid", "abort_all")),
        ("/pause_generation", ("mode",)),
        ("/update_weight_version", ("new_version",)),
        ("/get_weights_by_name", ("name", "truncate_size")),
    ],
)
def test_other_addresses_take_no_anything(client: httpx2.Client, path: str, names: tuple[str, ...]) -> None:
    for odd in ODD:
        reply = client.post(path, content=odd)
        assert reply.status_code in (200, 400), (odd, reply.status_code)
        for name in names:
            reply = client.post(path, content=f'{{"{name}": {odd}}}')
            assert reply.status_code in (200, 400), (name, odd, reply.status_code)
    client.post("/continue_generation")
    client.post("/update_weight_version", json={"new_version": "1"})
    assert generates(client)


def test_a_token_counts_in_its_header_only(running: Running) -> None:
    with httpx2.Client(base_url=running.url, trust_env=False, timeout=30) as nobody:
        for given in (f"token={TOKEN}", f"api_key={TOKEN}", f"Authorization=Bearer {TOKEN}"):
            assert nobody.get(f"/server_info?{given}").status_code == 401
        assert nobody.get("/server_info", headers={"Cookie": f"token={TOKEN}"}).status_code == 401
        assert nobody.get("/server_info", headers={"Authorization": f"Bearer {TOKEN} "[:-2]}).status_code == 401


def test_a_body_that_stalls_is_given_up(
    running: Running, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE_MAX_S", 0.2)
    head = f"POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 4096\r\n\r\n"
    with line_to(running) as line:
        line.sendall(head.encode() + b"{")
        status, said = answer_on(line)
        assert status == 408
        assert b"RLC0734" in said
        assert b"after 1 bytes" in said
    assert generates(client)


def test_a_head_that_never_ends_is_hung_up_on(
    running: Running, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "head_s", 0.2)
    with line_to(running) as silent, line_to(running) as slow, line_to(running) as later:
        slow.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nX-A: ")
        later.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_on(later)[0] == 200
        later.sendall(b"GET /hea")
        assert [line.recv(1 << 16) for line in (silent, slow, later)] == [b"", b"", b""]
    assert generates(client)


def test_a_head_of_any_size_is_not_read(running: Running, client: httpx2.Client) -> None:
    with line_to(running) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (1 << 17))
        assert b" 400 " in line.recv(1 << 16)
    assert generates(client)


def test_weights_are_read_from_where_they_are_to_lie_and_through_no_link(
    client: httpx2.Client, folder: Path, tmp_path: Path
) -> None:
    new = {name: tensor.clone() for name, tensor in weights_of(MODEL, seed=1).items()}
    outside, link, linked = tmp_path / "outside", folder / "link", folder / "linked"
    for directory in (outside, linked):
        directory.mkdir()
    save_file(new, outside / "model.safetensors")
    link.symlink_to(outside)
    (linked / "model.safetensors").symlink_to(outside / "model.safetensors")
    climbing = f"../{tmp_path.name}/outside"
    for path in (str(outside), "link", "linked", climbing, "/", "/nowhere", "..", "link/../link"):
        reply = client.post("/update_weights_from_disk", json={"model_path": path})
        assert (reply.status_code, code_of(reply)) == (403, "RLC0739"), path
    for path in ("nul\0nul", "x" * 5000, "no"):
        reply = client.post("/update_weights_from_disk", json={"model_path": path})
        assert (reply.status_code, code_of(reply)) == (400, "RLC0617"), path[:10]
    assert client.get("/model_info").json()["weight_version"] == "1"


def test_files_that_are_no_safetensors_and_weights_that_are_no_numbers_are_named(
    client: httpx2.Client, folder: Path
) -> None:
    (folder / "noise").mkdir()
    (folder / "noise" / "model.safetensors").write_bytes(b"\xff" * 64)
    reply = client.post("/update_weights_from_disk", json={"model_path": "noise"})
    assert (reply.status_code, code_of(reply)) == (400, "RLC0617")
    counts = {**weights_of(MODEL), "model.norm.weight": torch.ones(32, dtype=torch.int64)}
    with pytest.raises(AssertionError, match=r"RLC0720.*model\.norm\.weight is of int64"):
        give_weights(client, counts, "2")
    assert client.get("/model_info").json()["weight_version"] == "1"


def test_weights_of_less_precision_are_taken_as_they_are(client: httpx2.Client) -> None:
    give_weights(client, {n: t.to(torch.bfloat16) for n, t in weights_of(MODEL).items()}, "2")
    shown = client.post("/get_weights_by_name", json={"name": "lm_head.weight", "truncate_size": 1}).json()
    assert shown == weights_of(MODEL)["lm_head.weight"][:1].bfloat16().float().tolist()
    give_weights(client, weights_of(MODEL), "1")


def test_an_update_may_be_begun_again_and_half_of_one_changes_nothing(client: httpx2.Client) -> None:
    half = base64.b64encode(save({"model.norm.weight": torch.zeros(32)})).decode()
    body = {"serialized_named_tensors": [half], "load_format": "safetensors"}
    assert client.post("/begin_weight_update").status_code == 200
    assert client.post("/update_weights_from_tensor", json=body).status_code == 200
    give_weights(client, weights_of(MODEL), "1")
    assert code_of(client.post("/end_weight_update")) == "RLC0726"
    assert generates(client)


def test_pauses_of_all_kinds_one_after_the_other_lose_nothing(client: httpx2.Client) -> None:
    assert client.post("/continue_generation").status_code == 200
    before = state_of(client)["num_aborted"]
    body = {"input_ids": [3, 1], "rid": "long", "sampling_params": {"max_new_tokens": 900, "ignore_eos": True}}
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client.post, "/generate", json=body)
        wait_until(lambda: state_of(client)["num_outstanding"] == 1)
        for mode in ("in_place", "in_place", "retract", "retract", "in_place"):
            assert client.post("/pause_generation", json={"mode": mode}).status_code == 200
            give_weights(client, weights_of(MODEL), "1")
        assert (state_of(client)["num_outstanding"], state_of(client)["num_aborted"]) == (1, before)
        client.post("/continue_generation")
        assert len(asked.result().json()["output_ids"]) == 900


@pytest.mark.parametrize("mode", ["in_place", "retract"])
def test_what_is_aborted_in_a_pause_is_given_back_at_once(client: httpx2.Client, mode: str) -> None:
    params = {"max_new_tokens": 7_000, "ignore_eos": True}
    with ThreadPoolExecutor() as pool:
        body = {"input_ids": [[3, 1], [4]], "rid": "both", "sampling_params": params}
        asked = pool.submit(client.post, "/generate", json=body)
        wait_until(lambda: state_of(client)["num_outstanding"] == 2)
        client.post("/pause_generation", json={"mode": mode})
        # The name of a body stands for all of its prompts.
        client.post("/abort_request", json={"rid": "both"})
        found = asked.result().json()
        assert [a["meta_info"]["finish_reason"]["type"] for a in found] == ["abort", "abort"]
        client.post("/continue_generation")
    assert generates(client)


def test_a_client_that_goes_in_the_middle_of_a_stream_is_forgotten(running: Running, client: httpx2.Client) -> None:
    params = {"max_new_tokens": 7_000, "ignore_eos": True}
    before = state_of(client)["num_disconnected"]
    with client.stream(
        "POST", "/generate", json={"input_ids": [1], "sampling_params": params, "stream": True}
    ) as reply:
        assert next(reply.iter_lines()).startswith("data: ")
    wait_until(lambda: state_of(client)["num_outstanding"] == 0)
    assert state_of(client)["num_disconnected"] == before + 1


def test_a_version_may_have_any_name(client: httpx2.Client) -> None:
    for label in ("9" * 5000, "٣", "", "step 3", "1"):
        give_weights(client, weights_of(MODEL), label)
        assert client.get("/model_info").json()["weight_version"] == label
        assert generates(client)
