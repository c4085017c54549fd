"""Memory of the native engine: what is admitted, preempted, run in parts and used again changes no response.

The oracle of log-probs is Hugging Face's forward pass over the whole sequence, and of tokens an engine with room for
everything, which runs each prompt whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from runtime.engines.rollout.native.engine import Memory, NativeEngine
from runtime.protocols import Completion, GenerationRequest
from tests.contract.rollout_engines import MODELS, engine_of, generate, hf_response_logits, request, weights_of
from tests.runtime.engines.rollout.test_scheduler import drain, scheduler_of, served, submitted
from tests.runtime.engines.tiny_trainer import hf_model
from tests.support.tiny_model import VOCAB, tiny_model

pytestmark = pytest.mark.torch

FAMILIES = ("tied, two queries a key", "qwen3_moe", "deepseek_v3")
ROUNDING = 2e-5


def native(name: str = FAMILIES[0], *, concurrency: int = 8, context: int = 600, **settings: Any) -> NativeEngine:
    model = MODELS[name]
    memory = Memory(settings.pop("cache_tokens", None), settings.pop("prefill_tokens", 2048))
    engine = NativeEngine(model, concurrency=concurrency, max_context_tokens=context, memory=memory, **settings)
    engine.load_weights(iter(weights_of(model).items()), version=1)
    return engine


def words(num: int, *, start: int = 0) -> list[int]:
    return [(7 * i + i * i // 3 + start) % VOCAB for i in range(num)]


def assert_true_logprobs(name: str, asked: Sequence[GenerationRequest], found: Sequence[Completion]) -> None:
    model = hf_model(MODELS[name])
    for completion in found:
        logits_NV = hf_response_logits(model, asked[completion.request].tokens, completion.tokens)
        expected = logits_NV.log_softmax(-1).gather(1, torch.tensor(completion.tokens)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=ROUNDING)


def uneven() -> list[GenerationRequest]:
    lengths, most = (5, 120, 126, 300, 40, 128, 2, 250), (200, 20, 40, 250, 300, 5, 150, 100)
    return [request(words(n), max_new_tokens=m) for n, m in zip(lengths, most, strict=True)]


@pytest.mark.parametrize("name", FAMILIES)
def test_sequences_that_outgrow_their_rows_go_on_in_wider_ones(name: str) -> None:
    asked = uneven()
    found = generate(native(name), asked)
    assert [len(c.tokens) for c in found] == [r.max_new_tokens for r in asked]
    assert_true_logprobs(name, asked, found)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_preempted_goes_on_where_it_was(name: str) -> None:
    # Of 1,100 tokens three sequences of 300 fit, or one of 550 beside little else.
    asked = uneven()
    engine = native(name, cache_tokens=1100)
    found = generate(engine, asked)
    assert engine.counters()["preemptions"] > 0
    assert [c.tokens for c in found] == [c.tokens for c in generate(native(name), asked)]
    assert [c.versions for c in found] == [(1,) * r.max_new_tokens for r in asked]
    assert_true_logprobs(name, asked, found)


def test_a_preempted_sequence_that_is_aborted_gives_back_what_it_drew() -> None:
    engine, asked = (
        native(cache_tokens=608),
        [request(words(100), max_new_tokens=400), request(words(90), max_new_tokens=300)],
    )
    whole = generate(native(), asked)

    async def broken_off() -> list[Completion]:
        generation = engine.begin()
        generation.submit(asked)
        while not engine.counters()["preemptions"]:
            engine.advance()
        return generation.abort()

    parts = asyncio.run(broken_off())
    assert sorted(c.request for c in parts) == [0, 1]
    for part in parts:
        assert part.finish == "abort"
        assert part.tokens == whole[part.request].tokens[: len(part.tokens)]


def test_no_more_memory_is_taken_than_was_granted() -> None:
    for granted in (600, 1000, 2400):
        engine = native(cache_tokens=granted)
        lanes = engine.scheduler.lanes
        most = 0
        generation = engine.begin()
        generation.submit(uneven())
        while engine.scheduler.lanes.num_live or not most:
            engine.advance()
            most = max(most, lanes.num_tokens)
        assert granted // 2 < most <= granted


def test_sequences_enter_as_their_memory_is_there() -> None:
    # Rows of 128: of 300 tokens there are two.
    scheduler, network = scheduler_of(8, num_positions=128, cache_tokens=300)
    found = served(scheduler, [request([3, i], max_new_tokens=5) for i in range(4)])
    assert [rows for rows, _ in network.decodes] == [2] * 8
    assert [c.tokens for c in found] == [
        c.tokens for c in served(scheduler_of(8)[0], [request([3, i], max_new_tokens=5) for i in range(4)])
    ]


def test_memory_follows_what_is_held() -> None:
    engine = native(concurrency=8, context=600)
    generation = engine.begin()
    generation.submit([request([3], num_samples=8, max_new_tokens=20)])
    engine.advance()
    assert engine.scheduler.lanes.num_tokens == 8 * 128


@pytest.mark.parametrize("name", FAMILIES)
def test_long_prompts_are_run_in_parts_while_others_are_decoded(name: str) -> None:
    scheduler, network = scheduler_of(4, num_positions=512, prefill_tokens=64)
    short, long = request([3], max_new_tokens=100), request(words(300), max_new_tokens=4)
    call = submitted(scheduler, [short, long])
    drain(scheduler, call)
    assert network.extensions == [(1, 64)] * 4 + [(1, 44)]
    assert [c.request for c in call.inbox] == [1, 0]
    engine, asked = native(name, prefill_tokens=64), [long, request(words(200), num_samples=3)]
    found = generate(engine, asked)
    assert [c.tokens for c in found] == [c.tokens for c in generate(native(name), asked)]
    assert_true_logprobs(name, asked, found)


def turns(first: GenerationRequest, answer: Completion, *, num: int) -> list[GenerationRequest]:
    """Return requests for a second turn: what went before, and some words of the other side."""
    tokens = (*first.tokens, *answer.tokens)
    return [replace(first, tokens=(*tokens, *words(3 + 2 * i, start=i))) for i in range(num)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_next_turn_uses_what_was_computed_of_the_one_before(name: str) -> None:
    engine, first = native(name), request(words(50), max_new_tokens=30)

    async def run() -> tuple[list[GenerationRequest], list[Completion]]:
        generation = engine.begin()
        generation.submit([first])
        answer = await generation.next()
        assert answer is not None
        asked = turns(first, answer, num=3)
        generation.submit(asked)
        return asked, [c for _ in asked if (c := await generation.next()) is not None]

    asked, found = asyncio.run(run())
    # All but the last token of the answer, which was drawn and not run.
    assert engine.counters()["reused_tokens"] == 3 * 79
    found = sorted((replace(c, request=c.request - 1) for c in found), key=lambda c: c.request)
    assert [c.tokens for c in found] == [c.tokens for c in generate(native(name), asked)]
    assert_true_logprobs(name, asked, found)


def test_the_prompt_of_a_sequence_under_way_is_used_by_another() -> None:
    engine, one = native(), request(words(64), max_new_tokens=90)
    other = request([*words(64), 1, 2, 3], max_new_tokens=9)

    async def run() -> list[Completion]:
        generation = engine.begin()
        generation.submit([one])
        engine.advance()
        generation.submit([other])
        return [c for _ in range(2) if (c := await generation.next()) is not None]

    found = sorted(asyncio.run(run()), key=lambda c: c.request)
    assert engine.counters()["reused_tokens"] == 64
    assert_true_logprobs(FAMILIES[0], [one, other], found)


def test_new_weights_use_nothing_that_old_ones_computed() -> None:
    engine, model, asked = native(), tiny_model(), request(words(64), max_new_tokens=9)

    async def run() -> Completion | None:
        generation = engine.begin()
        generation.submit([asked, replace(asked, max_new_tokens=90)])
        await generation.next()
        engine.load_weights(iter(weights_of(model, seed=1).items()), version=2)
        generation.submit([replace(asked, max_new_tokens=10)])
        return await generation.next()

    found = asyncio.run(run())
    assert found is not None
    assert found.versions == (2,) * 10
    assert engine.counters()["reused_tokens"] == 0
    (fresh,) = generate(engine_of(NativeEngine, model, seed=1), [replace(asked, max_new_tokens=10)])
    assert found.tokens == fresh.tokens


def test_the_least_recently_used_prefix_goes_first() -> None:
    # Memory for two prefixes of 47 tokens beside a row of 128: the second one goes when the fifth needs its row.
    engine = native(context=128, concurrency=1, cache_tokens=128 + 100)

    async def run() -> list[int]:
        generation, hits = engine.begin(), list[int]()
        for start in (1, 2, 1, 3, 1, 2):
            before = engine.counters()["reused_tokens"]
            generation.submit([request(words(40, start=start), max_new_tokens=8)])
            await generation.next()
            hits.append(engine.counters()["reused_tokens"] - before)
        return hits

    assert asyncio.run(run()) == [0, 0, 39, 0, 39, 0]
    assert engine.counters()["evicted_tokens"] == 47


def test_what_will_not_be_used_again_is_not_kept() -> None:
    engine, asked = native(), request(words(64), keeps_prefix=False)

    async def run() -> None:
        generation = engine.begin()
        for _ in range(2):
            generation.submit([asked])
            await generation.next()

    asyncio.run(run())
    assert engine.counters()["reused_tokens"] == 0
    assert engine.scheduler.lanes.prefixes.num_tokens == 0


def test_what_ends_with_its_first_token_takes_no_row_of_what_enters_beside_it() -> None:
    # Two rows of 128 and one of 256 are all there is: what the two leave behind wants the memory of the third.
    ends = [
        request(words(100, start=n), max_new_tokens=2, stop_token_ids=frozenset(range(VOCAB)), keeps_prefix=True)
        for n in range(2)
    ]
    goes_on = request(words(150), max_new_tokens=20)
    found = generate(native(context=512, cache_tokens=512), [*ends, goes_on])
    assert [(len(c.tokens), c.finish) for c in found] == [(1, "stop"), (1, "stop"), (20, "length")]
    assert_true_logprobs(FAMILIES[0], [*ends, goes_on], found)
