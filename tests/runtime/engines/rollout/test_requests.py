"""What a request can ask the native engine for: how a response ends, and which log-probs come with it.

The oracle of log-probs is Hugging Face's forward pass; that of endings the response without any, and its text.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.protocols import Completion, GenerationRequest
from tests.contract.rollout_engines import GREEDY, MODELS, generate, hf_response_logits, request, weights_of
from tests.runtime.engines.rollout.test_memory import FAMILIES, ROUNDING, native, words
from tests.runtime.engines.tiny_trainer import hf_model
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

WARM = Sampling(temperature=0.7, top_p=0.9, top_k=OFF)


def text_of(tokens: Sequence[int]) -> str:
    """Texts of several characters for each token, so that a string can begin and end within some."""
    return "".join(f"<{token}>" for token in tokens)


def first_with(string: str, tokens: Sequence[int]) -> int:
    """Return how many tokens it takes for a text to have a string in it."""
    return next(n for n in range(1, len(tokens) + 1) if string in text_of(tokens[:n]))


def spanning(tokens: Sequence[int], at: int) -> str:
    """Return a string that begins within one token and ends within the second one after it."""
    return text_of(tokens[at : at + 3])[1:-1]


@pytest.mark.parametrize("settings", [{}, {"deterministic": True}], ids=["quick", "deterministic"])
@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=str)
def test_a_stop_string_that_spans_tokens_ends_the_response(settings: dict[str, Any], sampling: Sampling) -> None:
    engine, plain = native(**settings), request(words(5), max_new_tokens=60, sampling=sampling, num_samples=3)
    whole = generate(engine, [plain])
    for of in whole:
        strings = (spanning(of.tokens, 40), spanning(of.tokens, 17), "never")
        asked = replace(plain, num_samples=1, first_sample=of.sample, stop_strings=strings, decode=text_of)
        (found,) = generate(engine, [asked])
        num = min(first_with(s, of.tokens) for s in strings[:2])
        assert found.tokens == of.tokens[:num]
        assert found.finish == "stop"
        assert found.stop_reason in strings[:2]
        assert text_of(found.tokens).endswith(f"{found.stop_reason}>")


def test_a_stop_string_may_span_the_place_where_a_response_was_broken_off() -> None:
    engine, plain = native(), request(words(5), max_new_tokens=60)
    (whole,) = generate(engine, [plain])
    string = spanning(whole.tokens, 28)
    num = first_with(string, whole.tokens)
    rest = replace(
        plain,
        tokens=plain.tokens + whole.tokens[: num - 1],
        first_draw=num - 1,
        max_new_tokens=61 - num,
        stop_strings=(string,),
        decode=text_of,
    )
    (found,) = generate(engine, [rest])
    assert (found.tokens, found.stop_reason) == (whole.tokens[num - 1 : num], string)


def test_a_stop_string_ends_nobody_else() -> None:
    engine, plain = native(), request(words(5), max_new_tokens=40, num_samples=4)
    whole = generate(engine, [plain])
    string = spanning(whole[2].tokens, 20)
    ending = replace(plain, num_samples=1, first_sample=2, stop_strings=(string,), decode=text_of)
    *others, found = generate(engine, [plain, ending])
    assert [c.tokens for c in others] == [c.tokens for c in whole]
    assert found.tokens == whole[2].tokens[: first_with(string, whole[2].tokens)]


def test_a_stop_token_is_named() -> None:
    engine, plain = native(), request(words(5), max_new_tokens=60)
    (whole,) = generate(engine, [plain])
    assert whole.stop_reason is None
    stops = frozenset(whole.tokens[20:22])
    (found,) = generate(engine, [replace(plain, stop_token_ids=stops)])
    assert found.stop_reason == found.tokens[-1]
    assert found.stop_reason in stops


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.7, top_p=1.0, top_k=OFF)], ids=str)
def test_before_the_least_number_of_tokens_none_of_them_is_a_stop_token(sampling: Sampling) -> None:
    stops = frozenset(range(0, VOCAB, 2))
    asked = request(words(5), max_new_tokens=60, stop_token_ids=stops, min_new_tokens=12, sampling=sampling)
    asked = replace(asked, num_samples=5)
    kept = torch.tensor([t for t in range(VOCAB) if t not in stops])
    for found in generate(native(), [asked]):
        assert not stops & set(found.tokens[:11])
        assert found.finish == "stop"
        assert found.tokens[-1] in stops
        logits_NV = hf_response_logits(hf_model(MODELS[FAMILIES[0]]), asked.tokens, found.tokens[:11])
        logprob_NK = (logits_NV[:, kept] / (sampling.temperature or 1.0)).log_softmax(-1)
        place_N = torch.searchsorted(kept, torch.tensor(found.tokens[:11]))
        expected = logprob_NK.gather(1, place_N[:, None])[:, 0]
        assert found.logprobs[:11] == pytest.approx(expected.tolist(), abs=ROUNDING)


def test_what_was_drawn_before_counts_for_the_least_number() -> None:
    asked = request(words(20), stop_token_ids=frozenset(range(VOCAB - 1)), min_new_tokens=10, first_draw=8)
    (found,) = generate(native(), [asked])
    # Of 10 tokens 8 are there: one that is no stop token, and the next may be one.
    assert found.tokens[0] == VOCAB - 1
    assert found.finish == "stop"


def test_a_stop_string_ends_nothing_before_the_least_number_of_tokens() -> None:
    plain = request(words(5), max_new_tokens=40, stop_strings=("<",), decode=text_of)
    assert [len(c.tokens) for c in generate(native(), [plain, replace(plain, min_new_tokens=9)])] == [1, 9]


def expected_logprobs(name: str, asked: GenerationRequest, tokens: Sequence[int]) -> list[list[float]]:
    logits_NV = hf_response_logits(hf_model(MODELS[name]), asked.tokens[:1], [*asked.tokens[1:], *tokens])
    return (logits_NV / (asked.sampling.temperature or 1.0)).log_softmax(-1).tolist()


@pytest.mark.parametrize("settings", [{}, {"deterministic": True}, {"prefill_tokens": 16}], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_log_probs_of_the_prompt_are_those_of_the_model(name: str, settings: dict[str, Any]) -> None:
    asked = [
        request(words(70), prompt_logprobs_from=1, num_samples=2, sampling=WARM),
        request(words(75), prompt_logprobs_from=60, sampling=GREEDY),
        request(words(33), prompt_logprobs_from=32),
    ]
    engine = native(name, **settings)
    for found in generate(engine, asked):
        of = asked[found.request]
        first = of.prompt_logprobs_from or 1
        expected_NV = expected_logprobs(name, of, found.tokens)
        expected = [expected_NV[i - 1][of.tokens[i]] for i in range(first, len(of.tokens))]
        assert found.prompt_logprobs == pytest.approx(expected, abs=ROUNDING)


def test_what_is_held_of_a_prompt_is_run_again_where_its_log_probs_are_wanted() -> None:
    engine, asked = native(), request(words(90))

    async def run() -> Completion | None:
        generation = engine.begin()
        generation.submit([asked])
        await generation.next()
        generation.submit([replace(asked, prompt_logprobs_from=50)])
        return await generation.next()

    found = asyncio.run(run())
    assert found is not None
    assert engine.counters()["reused_tokens"] == 49
    expected_NV = expected_logprobs(FAMILIES[0], asked, found.tokens)
    expected = [expected_NV[i - 1][asked.tokens[i]] for i in range(50, 90)]
    assert found.prompt_logprobs == pytest.approx(expected, abs=ROUNDING)


def test_log_probs_beside_those_of_the_prompt_are_those_of_the_model() -> None:
    named = (7, 0, VOCAB - 1)
    asked = request(words(70), prompt_logprobs_from=50, sampling=WARM, logprob_token_ids=named, top_logprobs=3)
    (found,) = generate(native(prefill_tokens=16), [asked])
    expected_NV = expected_logprobs(FAMILIES[0], asked, found.tokens)[49:69]
    assert len(found.prompt_token_logprobs) == len(found.prompt_top_logprobs) == 20
    for expected_V, some, top in zip(expected_NV, found.prompt_token_logprobs, found.prompt_top_logprobs, strict=True):
        assert some == pytest.approx([expected_V[t] for t in named], abs=ROUNDING)
        assert [p for _, p in top] == pytest.approx(sorted(expected_V)[:-4:-1], abs=ROUNDING)


def test_a_sequence_that_is_preempted_keeps_the_log_probs_of_its_prompt() -> None:
    asked = [request(words(100), max_new_tokens=400, prompt_logprobs_from=90) for _ in range(2)]
    engine = native(cache_tokens=608)
    found = generate(engine, asked)
    assert engine.counters()["preemptions"] > 0
    expected_NV = expected_logprobs(FAMILIES[0], asked[0], [])
    for completion in found:
        expected = [expected_NV[i - 1][asked[0].tokens[i]] for i in range(90, 100)]
        assert completion.prompt_logprobs == pytest.approx(expected, abs=ROUNDING)


def test_log_probs_of_a_prompt_are_of_the_weights_that_the_response_was_begun_with() -> None:
    # One row: the second sample enters after the first has ended, and has other weights.
    asked = request(words(40), num_samples=2, max_new_tokens=30, prompt_logprobs_from=20)
    engine, zero = native(concurrency=1), {n: torch.zeros_like(t) for n, t in weights_of(MODELS[FAMILIES[0]]).items()}
    generation = engine.begin()
    generation.submit([asked])
    engine.advance()
    engine.load_weights(iter(zero.items()), version=2)
    found: list[Completion] = []
    while len(found) < 2:
        engine.advance()
        if (completion := generation.poll()) is not None:
            found.append(completion)
    old, new = sorted(found, key=lambda c: c.sample)
    assert old.versions[0] == 1
    expected_NV = expected_logprobs(FAMILIES[0], asked, old.tokens)
    assert old.prompt_logprobs == pytest.approx(
        [expected_NV[i - 1][asked.tokens[i]] for i in range(20, 40)], abs=ROUNDING
    )
    assert new.prompt_logprobs == pytest.approx([-math.log(VOCAB)] * 20, abs=ROUNDING)


@pytest.mark.parametrize("settings", [{}, {"deterministic": True}, {"cache_tokens": 700}], ids=str)
@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=str)
def test_log_probs_of_named_and_of_the_likeliest_tokens_are_those_of_the_model(
    settings: dict[str, Any], sampling: Sampling
) -> None:
    # With a cache of 700 tokens some are preempted in the middle.
    named = (7, 0, VOCAB - 1)
    wanting = request(words(90), max_new_tokens=150, sampling=sampling, logprob_token_ids=named, top_logprobs=3)
    engine = native(**settings)
    asked = [wanting, replace(wanting, tokens=tuple(words(80))), replace(wanting, tokens=tuple(words(60)))]
    found = generate(engine, [*asked, replace(asked[0], logprob_token_ids=(), top_logprobs=0)])
    assert (engine.counters()["preemptions"] > 0) == ("cache_tokens" in settings)
    assert found[-1].token_logprobs == found[-1].top_logprobs == ()
    for one in found[:-1]:
        of = asked[one.request]
        expected_NV = expected_logprobs(FAMILIES[0], of, one.tokens)[len(of.tokens) - 1 :]
        assert len(one.token_logprobs) == len(one.top_logprobs) == 150
        for expected_V, some, top in zip(expected_NV, one.token_logprobs, one.top_logprobs, strict=True):
            assert some == pytest.approx([expected_V[t] for t in named], abs=ROUNDING)
            assert [p for _, p in top] == pytest.approx(sorted(expected_V)[:-4:-1], abs=ROUNDING)
            assert [expected_V[t] for t, _ in top] == pytest.approx([p for _, p in top], abs=ROUNDING)


def refusal(asked: GenerationRequest, **settings: Any) -> str:
    engine = native(context=600, **settings)
    with pytest.raises(SpecError) as fault:
        generate(engine, [request([1]), asked])
    (diagnostic,) = fault.value.diagnostics
    assert engine.counters()["prompt_tokens"] == 0
    return f"{diagnostic.code}: {diagnostic.message}"


def test_a_request_that_is_larger_than_the_cache_is_refused_before_any() -> None:
    said = refusal(request([1] * 100, max_new_tokens=201), cache_tokens=300)
    sizes = "100 prompt tokens + 201 new tokens = 301, and the cache of the engine holds 300"
    assert said == f"RLC0700: request 1 does not fit: {sizes}"
    assert len(generate(native(cache_tokens=300), [request([1] * 100, max_new_tokens=200)])) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request([1], stop_strings=("a", ""), decode=text_of), "has an empty stop string"),
        (request([1], stop_strings=("a",)), "has stop strings and nothing that makes text of tokens"),
        (request([1], min_new_tokens=13), "asks for at least 13 tokens of a response that has at most 12"),
        (request([1, 2], prompt_logprobs_from=0), "asks for log-probs of its prompt from position 0 on"),
        (request([1, 2], prompt_logprobs_from=2), "asks for log-probs of its prompt from position 2 on"),
        (request([1], top_logprobs=VOCAB + 1), f"asks for the {VOCAB + 1} likeliest tokens of a vocabulary of {VOCAB}"),
        (request([1], min_new_tokens=1, stop_token_ids=frozenset(range(VOCAB))), "may not stop and may draw nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_there_is_not_is_refused_before_any(asked: GenerationRequest, said: str) -> None:
    assert refusal(asked).startswith(f"RLC0701: request 1 {said}")
