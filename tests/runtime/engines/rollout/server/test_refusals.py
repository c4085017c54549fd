"""What a server refuses, with which code and words, and that it goes on afterwards."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from runtime.engines.rollout.server.generate_body import NAMES as FIELDS
from runtime.engines.rollout.server.sampling_params import NAMES as PARAMS
from tests.contract.rollout_engines import weights_of
from tests.support.served_engine import client_of, give_weights, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with serving(tiny_model()) as running, client_of(running) as found:
        give_weights(found, weights_of(tiny_model()), "1")
        yield found


def codes_of(reply: httpx2.Response) -> list[str]:
    content = reply.json()
    codes = [d["code"] for d in content["diagnostics"]]
    assert all(code in content["error"]["message"] for code in codes)
    return codes


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [
        ({"max_tokens": 4}, "RLC0721", "no field 'max_tokens'"),
        ({"max_new_tokns": 4}, "RLC0721", "did you mean max_new_tokens?"),
        ({"custom_params": {"rlc_drw": []}}, "RLC0721", "did you mean rlc_draw?"),
        ({"min_p": 0.1}, "RLC0722", "min_p = 0.1"),
        ({"repetition_penalty": 1.1}, "RLC0722", "repetition_penalty = 1.1"),
        ({"json_schema": "{}"}, "RLC0722", "json_schema = '{}'"),
        ({"skip_special_tokens": False}, "RLC0722", "skip_special_tokens = False"),
        ({"temperature": -1}, "RLC0720", "temperature of sampling_params is -1, not a number of at least 0"),
        ({"temperature": "hot"}, "RLC0720", "temperature of sampling_params is 'hot'"),
        ({"top_p": 0}, "RLC0720", "top_p of sampling_params is 0, not above 0"),
        ({"top_p": 1.5}, "RLC0720", "not a number from 0 to 1"),
        ({"top_k": 0}, "RLC0720", "not -1 or at least 1"),
        ({"n": 0}, "RLC0720", "n of sampling_params is 0"),
        ({"n": True}, "RLC0720", "n of sampling_params is True"),
        ({"max_new_tokens": 0}, "RLC0720", "max_new_tokens of sampling_params is 0"),
        ({"stop_token_ids": [1, "2"]}, "RLC0720", "a list of integers"),
        ({"stop_token_ids": [99]}, "RLC0632", "token id 99"),
        ({"custom_params": {"rlc_draw": [1, 2, 3]}}, "RLC0720", "first_sample, first_draw]"),
    ],
)
def test_sampling_parameters_that_are_not_served_are_named(
    client: httpx2.Client, params: dict[str, Any], code: str, said: str
) -> None:
    reply = client.post("/generate", json={"input_ids": [1], "sampling_params": {"max_new_tokens": 9, **params}})
    assert reply.status_code == 400
    assert codes_of(reply) == [code]
    assert said in reply.json()["error"]["message"]


def test_values_that_ask_for_nothing_are_taken(client: httpx2.Client) -> None:
    params = {
        "max_new_tokens": 1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0,
        "json_schema": None,
        "skip_special_tokens": True,
        "top_k": 1 << 30,
    }
    body = {"input_ids": [1], "sampling_params": params, "top_logprobs_num": 0, "logprob_start_len": -1}
    assert client.post("/generate", json=body).status_code == 200


def test_all_faults_of_a_body_are_named_at_once(client: httpx2.Client) -> None:
    params = {"min_p": 0.5, "temprature": 1, "top_p": 7}
    assert codes_of(client.post("/generate", json={"input_ids": [1], "sampling_params": params})) == [
        "RLC0721",
        "RLC0722",
        "RLC0720",
    ]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "RLC0720", "either text or input_ids"),
        ({"input_ids": [1], "text": "1"}, "RLC0720", "either text or input_ids"),
        ({"text": "1"}, "RLC0720", "this server has no tokenizer"),
        ({"input_ids": []}, "RLC0631", "an empty prompt"),
        ({"input_ids": [[1], 2]}, "RLC0720", "a list of token ids"),
        ({"input_ids": [37], "sampling_params": {"max_new_tokens": 9}}, "RLC0632", "token id 37"),
        ({"input_ids": [1], "imput": 3}, "RLC0721", "no field 'imput'"),
        ({"input_ids": [1], "logprob_start_len": 2}, "RLC0720", "logprob_start_len of the body of /generate is 2"),
        ({"input_ids": [1], "logprob_start_len": -2}, "RLC0720", "not from -1 to the 1 tokens of its prompt"),
        ({"input_ids": [1], "logprob_start_len": True}, "RLC0720", "logprob_start_len of the body"),
        ({"input_ids": [1], "return_hidden_states": True}, "RLC0722", "return_hidden_states = True"),
        ({"input_ids": [[1], [2]], "sampling_params": [{}]}, "RLC0720", "one for all 2 prompts, or a list of 2"),
        ({"input_ids": [[1], [2]], "rid": ["a", "a"]}, "RLC0720", "a list of 2 that differ"),
    ],
)
def test_bodies_that_are_not_served_are_named(
    client: httpx2.Client, body: dict[str, Any], code: str, said: str
) -> None:
    reply = client.post("/generate", json=body)
    assert reply.status_code == 400
    assert codes_of(reply) == [code]
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b"3", b"[" * 100_000, b'{"input_ids": NaN}'])
def test_what_is_no_request_is_refused(client: httpx2.Client, content: bytes) -> None:
    reply = client.post("/generate", content=content)
    assert reply.status_code == 400
    assert codes_of(reply) == ["RLC0720"]


def test_nothing_but_health_is_answered_without_the_token(client: httpx2.Client) -> None:
    assert client.get("/health", headers={"Authorization": ""}).status_code == 200
    for token in ("", "Bearer", "Bearer wrong", "Basic dGVzdA=="):
        for path in ("/server_info", "/nowhere"):
            reply = client.get(path, headers={"Authorization": token})
            assert (reply.status_code, codes_of(reply)) == (401, ["RLC0724"])


def test_a_body_is_read_up_to_a_limit_only(client: httpx2.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(80):
            yield b" " * (1 << 20)

    reply = client.post("/generate", content=endless())
    assert (reply.status_code, codes_of(reply)) == (413, ["RLC0725"])


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_pickled_tensors_are_refused_and_nothing_of_them_runs(client: httpx2.Client, tmp_path: Any) -> None:
    file = base64.b64encode(pickle.dumps([("model.norm.weight", Bomb(str(tmp_path / "ran")))])).decode()
    client.post("/begin_weight_update")
    for load_format, code in ((None, "RLC0723"), ("flattened_bucket", "RLC0723"), ("safetensors", "RLC0728")):
        body = {"serialized_named_tensors": [file], "load_format": load_format}
        reply = client.post("/update_weights_from_tensor", json=body)
        assert (reply.status_code, codes_of(reply), reply.json()["success"]) == (400, [code], False)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_under_way_is_refused(client: httpx2.Client) -> None:
    client.post("/pause_generation", json={"mode": "in_place"})
    body = {"input_ids": [1], "rid": "a", "sampling_params": {"max_new_tokens": 3}}
    with client.stream("POST", "/generate", json={**body, "stream": True}) as first:
        second = client.post("/generate", json=body)
        assert codes_of(second) == ["RLC0726"]
        client.post("/continue_generation")
        assert b"[DONE]" in first.read()


def test_every_name_of_sglang_is_known() -> None:
    # Those of SGLang 0.5.23 that callers of reinforcement learning set.
    assert {"stop", "stop_regex", "min_new_tokens", "logit_bias", "regex", "ebnf", "sampling_seed", "n"} <= PARAMS
    assert {"logprob_start_len", "token_ids_logprob", "return_routed_experts", "image_data", "lora_path"} <= FIELDS


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/v1/chat/completions", 404, "this server has no address '/v1/chat/completions'"),
        ("POST", "/genrate", 404, "did you mean /generate?"),
        ("POST", "/load_lora_adapter", 404, "no address"),
        ("GET", "/generate", 405, "/generate is not asked for by GET"),
    ],
)
def test_an_address_that_there_is_not_is_told_with_those_that_there_are(
    client: httpx2.Client, method: str, path: str, status: int, said: str
) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert codes_of(reply) == ["RLC0752"]
    assert said in reply.json()["error"]["message"]
    assert client.request(method, path, headers={"Authorization": "Bearer other"}).status_code == 401
