"""The deterministic mode: the same request has the same bits, whatever else is in the batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from runtime.engines.rollout.native.engine import Memory, NativeEngine
from runtime.protocols import Completion, DrawKey, GenerationRequest
from tests.contract.rollout_engines import GREEDY, MODELS, SAMPLINGS, generate, request, weights_of
from tests.runtime.engines.rollout.test_memory import assert_true_logprobs, words
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

FAMILIES = ("tied, two queries a key", "qwen3_moe", "deepseek_v3")


def exact(name: str, *, concurrency: int = 64, **settings: Any) -> NativeEngine:
    model = MODELS[name]
    memory = Memory(settings.pop("cache_tokens", None), 256)
    engine = NativeEngine(
        model, concurrency=concurrency, max_context_tokens=300, memory=memory, deterministic=True, **settings
    )
    engine.load_weights(iter(weights_of(model).items()), version=1)
    return engine


def crowd(num: int, *, seed: int = 0) -> list[GenerationRequest]:
    draw = random.Random(seed)
    return [
        request(
            draw.choices(range(VOCAB), k=draw.choice((1, 5, 20, 60))),
            key=DrawKey(seed=1, stage=0, step=0, group=i),
            max_new_tokens=draw.randint(1, 20),
            sampling=draw.choice((*SAMPLINGS, GREEDY)),
        )
        for i in range(num)
    ]


# One that crosses the lanes of 128 and 256 positions, and one that is short and sampled from few.
WATCHED = (
    request(words(100), max_new_tokens=170),
    request(words(3), max_new_tokens=19, sampling=SAMPLINGS[3], num_samples=2),
)


def alone(name: str) -> list[Completion]:
    return [c for asked in WATCHED for c in generate(exact(name), [asked])]


def bits(completions: Sequence[Completion]) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    return [(c.tokens, c.logprobs) for c in completions]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_request_alone_and_among_200_others_has_the_same_bits(name: str) -> None:
    expected = bits(alone(name))
    others = crowd(200)
    for first in (0, 57, 200):
        asked = [*others[:first], *WATCHED, *others[first:]]
        found = [c for c in generate(exact(name), asked) if first <= c.request < first + 2]
        assert bits(found) == expected
    assert_true_logprobs(name, WATCHED[:1], alone(name)[:1])


@pytest.mark.parametrize("name", FAMILIES)
def test_bits_do_not_depend_on_what_was_preempted(name: str) -> None:
    engine = exact(name, cache_tokens=900)
    asked = [*WATCHED, *(replace(WATCHED[0], tokens=tuple(words(90 + i, start=i))) for i in range(5))]
    found = [c for c in generate(engine, asked) if c.request < 2]
    assert engine.counters()["preemptions"] > 0
    assert bits(found) == bits(alone(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_bits_do_not_depend_on_what_was_held(name: str) -> None:
    engine, (first, *_) = exact(name), WATCHED

    async def run() -> tuple[GenerationRequest, Completion]:
        generation = engine.begin()
        generation.submit([first])
        answer = await generation.next()
        assert answer is not None
        turn = replace(first, tokens=(*first.tokens, *answer.tokens[:90], 1, 2), max_new_tokens=60)
        generation.submit([*crowd(9), turn])
        found = [c for _ in range(10) if (c := await generation.next()) is not None]
        return turn, next(c for c in found if c.request == 10)

    turn, found = asyncio.run(run())
    assert engine.counters()["reused_tokens"] == 190
    assert bits([found]) == bits(generate(exact(name), [turn]))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_response_that_was_broken_off_goes_on_in_the_same_bits(name: str) -> None:
    engine = exact(name)

    async def part() -> Completion:
        generation = engine.begin()
        generation.submit([WATCHED[0], request([3], max_new_tokens=50)])
        await generation.next()
        (found,) = generation.abort()
        return found

    found = asyncio.run(part())
    asked = WATCHED[0]
    num_drawn = len(found.tokens)
    rest = replace(
        asked,
        tokens=asked.tokens + found.tokens,
        max_new_tokens=asked.max_new_tokens - num_drawn,
        first_draw=num_drawn,
    )
    (after,) = generate(engine, [rest])
    (whole, *_) = alone(name)
    assert num_drawn > 16
    assert found.tokens + after.tokens == whole.tokens
    assert found.logprobs + after.logprobs == whole.logprobs


@pytest.mark.parametrize("name", ["qwen3_moe", "deepseek_v3"])
def test_experts_are_recorded_whatever_happens_to_a_sequence(name: str) -> None:
    expected = [c.expert_ids for asked in WATCHED for c in generate(exact(name, returns_experts=True), [asked])]
    narrow = exact(name, returns_experts=True, cache_tokens=900)
    asked = [*WATCHED, *(replace(WATCHED[0], tokens=tuple(words(90 + i, start=i))) for i in range(5))]
    found = [c.expert_ids for c in generate(narrow, asked) if c.request < 2]
    assert narrow.counters()["preemptions"] > 0
    assert expected[0] is not None
    assert expected[0].ids_TLC.shape[0] == 100 + 170 - 1
    assert found == expected


def test_experts_of_what_was_held_are_recorded() -> None:
    engine, first = exact("qwen3_moe", returns_experts=True), WATCHED[0]

    async def run() -> tuple[GenerationRequest, Completion | None]:
        generation = engine.begin()
        generation.submit([first])
        answer = await generation.next()
        assert answer is not None
        turn = replace(first, tokens=(*first.tokens, *answer.tokens[:90], 1, 2), max_new_tokens=60)
        generation.submit([turn])
        return turn, await generation.next()

    turn, found = asyncio.run(run())
    (whole,) = generate(exact("qwen3_moe", returns_experts=True), [turn])
    assert engine.counters()["reused_tokens"] == 190
    assert found is not None
    assert found.expert_ids == whole.expert_ids is not None


@pytest.mark.parametrize("size", [1, 3, 16, 17, 50, 200])
def test_log_probs_do_not_depend_on_the_number_of_rows(size: int) -> None:
    prob_V = torch.rand(200, generator=torch.Generator().manual_seed(0))
    assert prob_V[:size].clone().log_().equal(prob_V.clone().log_()[:size])
