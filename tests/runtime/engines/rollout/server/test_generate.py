"""What /generate answers: SGLang's shapes, and the tokens and log-probs of an engine in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Sampling
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.data.tokenizers import CharacterTokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server.answers import answer
from runtime.engines.rollout.server.generate_body import Asked
from runtime.engines.rollout.server.jobs import Finished, Job, Part
from runtime.engines.rollout.server.sampling_params import read_sampling_params
from runtime.protocols import GenerationRequest
from tests.contract.rollout_engines import GREEDY, engine_of, generate, mixed_requests, request, weights_of
from tests.support.served_engine import client_of, give_weights, serving, state_of
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

TOKENIZER = CharacterTokenizer("0123456789+=abcdefghijklm")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    """A client of a server with the weights of `engine_of`, version 1."""
    with serving(tiny_model(), concurrency=8, tokenizer=TOKENIZER) as running, client_of(running) as found:
        give_weights(found, weights_of(tiny_model()), "1")
        yield found


def params_of(asked: GenerationRequest) -> dict[str, Any]:
    """Return a request's settings by SGLang's names, its draws by ours."""
    key, settings = asked.key, asked.sampling
    return {
        "max_new_tokens": asked.max_new_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": -1 if isinstance(settings.top_k, Off) else settings.top_k,
        "stop_token_ids": sorted(asked.stop_token_ids),
        "ignore_eos": True,
        "n": asked.num_samples,
        "custom_params": {"rlc_draw": [key.seed, key.stage, key.step, key.group, asked.first_sample, asked.first_draw]},
    }


def events_of(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_tokens_and_log_probs_are_those_of_an_engine_in_this_process_to_the_bit(client: httpx2.Client) -> None:
    asked = mixed_requests()
    body = {
        "input_ids": [list(r.tokens) for r in asked],
        "sampling_params": [params_of(r) for r in asked],
        "return_logprob": True,
    }
    found = client.post("/generate", json=body).json()
    expected = generate(engine_of(NativeEngine), asked)
    assert [tuple(f["output_ids"]) for f in found] == [c.tokens for c in expected]
    assert [[p for p, _, _ in f["meta_info"]["output_token_logprobs"]] for f in found] == [
        pytest.approx(c.logprobs, abs=1e-5) for c in expected
    ]
    assert client.post("/flush_cache").status_code == 200
    alone = generate(engine_of(NativeEngine), asked[2:3])
    body = {"input_ids": list(asked[2].tokens), "sampling_params": params_of(asked[2]), "return_logprob": True}
    again = client.post("/generate", json=body).json()
    drawn = [entry for answer in again for entry in answer["meta_info"]["output_token_logprobs"]]
    assert [(p, t) for p, t, _ in drawn] == [(p, t) for c in alone for p, t in zip(c.logprobs, c.tokens, strict=True)]


def test_one_prompt_has_one_answer_and_several_have_a_list(client: httpx2.Client) -> None:
    params = {"max_new_tokens": 3, "ignore_eos": True}
    one = client.post("/generate", json={"input_ids": [5, 6], "sampling_params": params, "rid": "mine"}).json()
    assert one["meta_info"] == {
        "id": "mine",
        "finish_reason": {"type": "length", "length": 3},
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "cached_tokens": 0,
        "weight_version": "1",
        "weight_versions": [{"version": "1", "start": 0, "end": 3}],
    }
    several = client.post("/generate", json={"input_ids": [[5], [6]], "sampling_params": params}).json()
    assert [len(a["output_ids"]) for a in several] == [3, 3]
    samples = client.post("/generate", json={"input_ids": [5], "sampling_params": {**params, "n": 4}}).json()
    assert len(samples) == len({a["meta_info"]["id"] for a in samples}) == 4


def test_a_stream_says_of_each_response_where_it_belongs(client: httpx2.Client) -> None:
    params = [{"max_new_tokens": 40, "n": 2, "ignore_eos": True}, {"max_new_tokens": 2, "ignore_eos": True}]
    body = {"input_ids": [[5], [6, 7]], "sampling_params": params, "stream": True, "rid": ["a", "b"]}
    reply = client.post("/generate", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = {event["index"]: event for event in events_of(reply.text)}
    assert {index: event["meta_info"]["id"] for index, event in found.items()} == {0: "a_0", 1: "a_1", 2: "b"}
    assert [len(found[index]["output_ids"]) for index in range(3)] == [40, 40, 2]


def test_text_goes_in_and_comes_out(client: httpx2.Client) -> None:
    body = {"text": "1+1=", "sampling_params": {"max_new_tokens": 30, "temperature": 0, "ignore_eos": True}}
    whole = client.post("/generate", json=body).json()
    prompt = TOKENIZER.encode("1+1=")
    (expected,) = generate(engine_of(NativeEngine), [request(prompt, max_new_tokens=30, sampling=GREEDY)])
    assert tuple(whole["output_ids"]) == expected.tokens
    assert whole["text"] == TOKENIZER.decode(expected.tokens)
    seen = next(t for t in expected.tokens if TOKENIZER.decode([t]))
    stopping = {**body["sampling_params"], "stop_token_ids": [seen]}
    stopped = client.post("/generate", json={"text": "1+1=", "sampling_params": stopping}).json()
    assert stopped["meta_info"]["finish_reason"] == {"type": "stop", "matched": seen}
    assert stopped["output_ids"][-1] == seen
    assert stopped["text"] == TOKENIZER.decode(stopped["output_ids"][:-1])
    kept = client.post("/generate", json={"text": "1+1=", "sampling_params": {**stopping, "no_stop_trim": True}}).json()
    assert kept["text"] == stopped["text"] + TOKENIZER.decode([seen])


def test_the_end_of_sequence_ends_a_response_unless_it_is_ignored(client: httpx2.Client) -> None:
    params = {"max_new_tokens": 60, "n": 60, "sampling_seed": 3}
    found = client.post("/generate", json={"input_ids": [5], "sampling_params": params}).json()
    ended = [a for a in found if a["meta_info"]["finish_reason"]["type"] == "stop"]
    assert ended
    assert all(a["meta_info"]["finish_reason"]["matched"] == TOKENIZER.eos_token_id for a in ended)
    ignoring = {**params, "ignore_eos": True}
    found = client.post("/generate", json={"input_ids": [5], "sampling_params": ignoring}).json()
    assert {len(a["output_ids"]) for a in found} == {60}


def test_a_seed_names_the_draws_and_without_one_they_differ(client: httpx2.Client) -> None:
    def drawn(**params: object) -> list[int]:
        body = {"input_ids": [5], "sampling_params": {"max_new_tokens": 20, "ignore_eos": True, **params}}
        return client.post("/generate", json=body).json()["output_ids"]

    assert drawn(sampling_seed=7) == drawn(sampling_seed=7) != drawn(sampling_seed=8)
    assert drawn() != drawn()


def test_a_request_larger_than_the_cache_is_refused_and_others_are_not_disturbed(client: httpx2.Client) -> None:
    before = state_of(client)["num_refused"]
    body = {"input_ids": [[5] * 100, [6]], "sampling_params": {"max_new_tokens": 29}}
    reply = client.post("/generate", json=body)
    assert reply.status_code == 400
    assert "RLC0630" in reply.json()["error"]["message"]
    assert "100 prompt tokens + 29 new tokens = 129" in reply.json()["error"]["message"]
    state = state_of(client)
    assert (state["num_refused"], state["num_outstanding"]) == (before + 1, 0)
    fits = {"input_ids": [5] * 100, "sampling_params": {"max_new_tokens": None, "ignore_eos": True}}
    assert len(client.post("/generate", json=fits).json()["output_ids"]) == 28


def test_a_text_that_spans_tokens_ends_a_response(client: httpx2.Client) -> None:
    params = {"max_new_tokens": 40, "temperature": 0, "ignore_eos": True}
    whole = client.post("/generate", json={"text": "1+1=", "sampling_params": params}).json()["text"]
    stop = whole[3:5]
    body = {"text": "1+1=", "sampling_params": {**params, "stop": stop}}
    answer = client.post("/generate", json=body).json()
    assert answer["meta_info"]["finish_reason"] == {"type": "stop", "matched": stop}
    assert answer["text"] == whole.partition(stop)[0]
    assert TOKENIZER.decode(answer["output_ids"]).endswith(stop)


def test_log_probs_of_the_likeliest_and_of_named_tokens_stand_beside_those_drawn(client: httpx2.Client) -> None:
    body = {
        "input_ids": [5],
        "sampling_params": {"max_new_tokens": 6, "temperature": 0, "ignore_eos": True, "min_new_tokens": 6},
        "return_logprob": True,
        "top_logprobs_num": 2,
        "token_ids_logprob": [7, 9],
    }
    meta = client.post("/generate", json=body).json()["meta_info"]
    for drawn, top, named in zip(
        meta["output_token_logprobs"], meta["output_top_logprobs"], meta["output_token_ids_logprobs"], strict=True
    ):
        assert top[0][1] == drawn[1]
        assert top[0][0] == pytest.approx(drawn[0], abs=1e-5)
        assert [token for _, token, _ in named] == [7, 9]
        assert all(logprob <= top[0][0] + 1e-6 for logprob, _, _ in named)


def test_beside_each_token_of_a_prompt_stand_the_likeliest_and_those_that_each_prompt_names(
    client: httpx2.Client,
) -> None:
    tokens, named = [3, 1, 4, 1, 5], [(7, 9), (0,)]
    body = {
        "input_ids": [tokens, tokens],
        "sampling_params": {"max_new_tokens": 2, "temperature": 0, "ignore_eos": True},
        "return_logprob": True,
        "logprob_start_len": [1, -1],
        "top_logprobs_num": [2, 1],
        "token_ids_logprob": [list(ids) for ids in named],
    }
    listed, unlisted = (a["meta_info"] for a in client.post("/generate", json=body).json())
    asked = request(
        tokens, prompt_logprobs_from=2, top_logprobs=2, logprob_token_ids=named[0], sampling=GREEDY, max_new_tokens=2
    )
    (expected,) = generate(engine_of(NativeEngine), [asked])
    assert [token for _, token, _ in listed["input_token_logprobs"]] == tokens[1:]
    first, *top = listed["input_top_logprobs"]
    assert first is None
    assert [[(t, pytest.approx(p, abs=1e-5)) for p, t, _ in row] for row in top] == [
        list(row) for row in expected.prompt_top_logprobs
    ]
    first, *rows = listed["input_token_ids_logprobs"]
    assert first is None
    assert [[t for _, t, _ in row] for row in rows] == [list(named[0])] * 3
    assert [[p for p, _, _ in row] for row in rows] == [
        pytest.approx(row, abs=1e-5) for row in expected.prompt_token_logprobs
    ]
    assert unlisted["input_top_logprobs"] == unlisted["input_token_ids_logprobs"] == []
    assert [len(row) for row in unlisted["output_top_logprobs"]] == [1, 1]
    assert [[t for _, t, _ in row] for row in unlisted["output_token_ids_logprobs"]] == [[0], [0]]


@pytest.mark.parametrize("start", [0, 3, 5, 6])
def test_a_prompt_is_listed_with_log_probs_and_its_first_token_without(client: httpx2.Client, start: int) -> None:
    tokens = [3, 1, 4, 1, 5, 9]
    params = {"max_new_tokens": 2, "temperature": 0.7, "ignore_eos": True}
    body = {"input_ids": tokens, "sampling_params": params, "return_logprob": True, "logprob_start_len": start}
    found = client.post("/generate", json=body).json()["meta_info"]["input_token_logprobs"]
    settings = Sampling(temperature=0.7, top_p=1.0, top_k=OFF)
    (expected,) = generate(engine_of(NativeEngine), [request(tokens, prompt_logprobs_from=1, sampling=settings)])
    logprobs = [None, *expected.prompt_logprobs[start:]][: len(tokens) - start]
    assert [token for _, token, _ in found] == tokens[start:]
    assert [p for p, _, _ in found] == [None if p is None else pytest.approx(p, abs=1e-5) for p in logprobs]


def test_a_prompt_is_not_listed_unless_it_is_asked_for(client: httpx2.Client) -> None:
    params = {"max_new_tokens": 2, "ignore_eos": True}
    body = {"input_ids": [[3, 1], [4, 1, 5]], "sampling_params": params, "return_logprob": True}
    several = client.post("/generate", json={**body, "logprob_start_len": [-1, 1]}).json()
    assert [len(a["meta_info"]["input_token_logprobs"]) for a in several] == [0, 2]
    quiet = client.post("/generate", json={**body, "return_logprob": False, "logprob_start_len": 0}).json()
    assert all("input_token_logprobs" not in a["meta_info"] for a in quiet)


def turn(client: httpx2.Client, tokens: Sequence[int], **params: object) -> dict[str, Any]:
    settings = {"max_new_tokens": 40, "temperature": 0, "ignore_eos": True, **params}
    reply = client.post("/generate", json={"input_ids": list(tokens), "sampling_params": settings})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_second_turn_uses_what_was_computed_for_the_first_until_it_is_flushed(client: httpx2.Client) -> None:
    assert client.post("/flush_cache").status_code == 200
    prompt = [(5 * i) % 23 for i in range(30)]
    first = turn(client, prompt)
    assert first["meta_info"]["cached_tokens"] == 0
    both = [*prompt, *first["output_ids"], 1, 2]
    (expected,) = generate(engine_of(NativeEngine), [request(both, max_new_tokens=40, sampling=GREEDY)])
    second = turn(client, both)
    # The last token of a response has no keys and values yet.
    assert second["meta_info"]["cached_tokens"] == 30 + 39
    assert tuple(second["output_ids"]) == expected.tokens
    assert client.post("/flush_cache").text == "Cache flushed.\n"
    third = turn(client, both)
    assert third["meta_info"]["cached_tokens"] == 0
    assert third["output_ids"] == second["output_ids"]


def test_what_no_later_request_begins_with_need_not_be_kept(client: httpx2.Client) -> None:
    assert client.post("/flush_cache").status_code == 200
    prompt = [(7 * i) % 23 for i in range(50)]
    for cached in (0, 0):
        found = turn(client, prompt, custom_params={"rlc_keeps_prefix": False})
        assert found["meta_info"]["cached_tokens"] == cached


def test_other_weights_of_the_same_name_use_nothing_of_those_before(client: httpx2.Client) -> None:
    prompt = [(3 * i) % 23 for i in range(50)]
    first = turn(client, prompt)
    give_weights(client, weights_of(tiny_model(), seed=1), "1")
    try:
        found = turn(client, prompt)
        (expected,) = generate(engine_of(NativeEngine, seed=1), [request(prompt, max_new_tokens=40, sampling=GREEDY)])
        assert found["meta_info"]["cached_tokens"] == 0
        assert tuple(found["output_ids"]) == expected.tokens != tuple(first["output_ids"])
    finally:
        give_weights(client, weights_of(tiny_model()), "1")


def streamed(client: httpx2.Client, prompt: Sequence[int], **params: object) -> list[dict[str, Any]]:
    settings = {"max_new_tokens": 60, "temperature": 0, "ignore_eos": True, **params}
    body = {"input_ids": list(prompt), "sampling_params": settings, "return_logprob": True, "stream": True}
    return events_of(client.post("/generate", json=body).text)


def test_a_stream_says_what_there_is_as_tokens_come(client: httpx2.Client) -> None:
    *parts, last = streamed(client, [5, 6])
    (expected,) = generate(engine_of(NativeEngine), [request([5, 6], max_new_tokens=60, sampling=GREEDY)])
    assert len(parts) >= 3
    assert tuple(last["output_ids"]) == expected.tokens
    lengths = [len(p["output_ids"]) for p in parts]
    assert lengths == sorted(set(lengths))
    for part in (*parts, last):
        count, meta = len(part["output_ids"]), part["meta_info"]
        assert part["output_ids"] == last["output_ids"][:count]
        assert last["text"].startswith(part["text"])
        assert meta["completion_tokens"] == meta["output_token_logprobs_length"] == count
        assert meta["output_token_logprobs"] == last["meta_info"]["output_token_logprobs"][:count]
        assert meta["weight_versions"] == [{"version": "1", "start": 0, "end": count}]
    assert [p["meta_info"]["finish_reason"] for p in parts] == [None] * len(parts)
    assert last["meta_info"]["finish_reason"] == {"type": "length", "length": 60}


def test_fewer_events_are_said_where_more_tokens_are_to_lie_between_them(client: httpx2.Client) -> None:
    lengths = [0, *(len(e["output_ids"]) for e in streamed(client, [5, 6], stream_interval=25)[:-1])]
    assert len(lengths) == 3
    assert lengths[2] - lengths[1] >= 25


def test_a_stream_says_nothing_of_what_may_become_a_stop_string(client: httpx2.Client) -> None:
    whole = streamed(client, [5, 6])[-1]["text"]
    for size in (1, 2, 5):
        stop = whole[30 : 30 + size]
        events = streamed(client, [5, 6], stop=[stop, "never of these"], stream_interval=1)
        last = events[-1]
        assert last["meta_info"]["finish_reason"] == {"type": "stop", "matched": stop}
        assert last["text"] == whole[: whole.index(stop)]
        assert all(last["text"].startswith(e["text"]) for e in events)


def test_the_beginning_of_a_character_is_not_said_before_the_whole_of_it() -> None:
    tokenizer = ByteTokenizer()
    text = "aé€𝄞é" * 3
    job = Job(rid="a", request=request([1]), outbox=asyncio.Queue())
    asked = Asked(
        rid="a",
        tokens=(1,),
        params=read_sampling_params({}, "sampling_params"),
        returns_logprobs=False,
        returns_token_texts=False,
        experts_from=None,
        logprobs_from=None,
        top_logprobs=0,
        logprob_token_ids=(),
    )
    tokens = tokenizer.encode(text)
    for count in range(1, len(tokens)):
        part = Part(tokens=tokens[:count], logprobs=(0.0,) * count, versions=(1,) * count)
        so_far = Finished(job=job, sample=0, part=part, finish=None)
        said = answer(so_far, asked, str, tokenizer=tokenizer, routed=None)["text"]
        assert isinstance(said, str)
        assert text.startswith(said)
        assert len(said.encode()) > count - 4
