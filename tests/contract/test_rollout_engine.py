"""What every rollout engine must do, whatever generates in it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Never

import pytest
import torch

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.protocols import Completion, DrawKey, GenerationRequest, RolloutEngine
from tests.contract.rollout_engines import (
    ENGINE_PARAMS,
    GREEDY,
    MODELS,
    PLAIN,
    SAMPLINGS,
    EngineClass,
    engine_of,
    expected_distribution,
    generate,
    hf_response_logits,
    mixed_requests,
    request,
    weights_of,
)
from tests.runtime.engines.tiny_trainer import hf_model
from tests.support.tiny_model import VOCAB, tiny_model

pytestmark = pytest.mark.torch

# fp32 sums of other matrix products, over responses of some tens of tokens.
ROUNDING = 1e-5


@pytest.fixture(params=ENGINE_PARAMS)
def engine_class(request: pytest.FixtureRequest) -> EngineClass:
    return request.param


def tokens_of(completions: Sequence[Completion]) -> list[tuple[int, ...]]:
    return [c.tokens for c in completions]


def logprobs_of(completions: Sequence[Completion]) -> list[float]:
    return [p for c in completions for p in c.logprobs]


def codes(fault: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [d.code for d in fault.value.diagnostics]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_greedy_tokens_are_those_of_hugging_face(engine_class: EngineClass, model: Model[Never]) -> None:
    prompts = [[7], [3, 1, 2], [(5 * i) % VOCAB for i in range(45)]]
    found = generate(engine_of(engine_class, model), [request(p, max_new_tokens=30, sampling=GREEDY) for p in prompts])
    reference = hf_model(model)
    for prompt, completion in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        settings: Any = {"do_sample": False, "max_new_tokens": 30, "eos_token_id": None, "pad_token_id": 0}
        whole = reference.generate(ids, attention_mask=torch.ones_like(ids), **settings)
        assert list(completion.tokens) == whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("sampling", [*SAMPLINGS, GREEDY], ids=str)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_log_probs_are_those_of_the_distribution_drawn_from(
    engine_class: EngineClass, model: Model[Never], sampling: Sampling
) -> None:
    prompts = [[5], [(7 * i) % VOCAB for i in range(38)]]
    asked = [request(p, num_samples=3, max_new_tokens=24, sampling=sampling) for p in prompts]
    reference = hf_model(model)
    for completion in generate(engine_of(engine_class, model), asked):
        logits_NV = hf_response_logits(reference, prompts[completion.request], completion.tokens)
        for logits_V, token, logprob in zip(logits_NV, completion.tokens, completion.logprobs, strict=True):
            assert logprob == pytest.approx(math.log(expected_distribution(logits_V, sampling)[token]), abs=1e-4)


@pytest.mark.parametrize("sampling", [SAMPLINGS[1], GREEDY], ids=str)
def test_log_probs_of_a_prompt_are_those_of_the_softmax_at_the_temperature(
    engine_class: EngineClass, sampling: Sampling
) -> None:
    prompt = [(7 * i) % VOCAB for i in range(40)]
    starts = (1, 25, 39, None)
    asked = [request(prompt, prompt_logprobs_from=start, num_samples=2, sampling=sampling) for start in starts]
    logits_NV = hf_response_logits(hf_model(tiny_model()), prompt[:1], prompt[1:])
    logprob_NV = (logits_NV / (sampling.temperature or 1.0)).log_softmax(-1)
    expected = [float(logprob_NV[at, token]) for at, token in enumerate(prompt[1:])]
    for found in generate(engine_of(engine_class), asked):
        start = starts[found.request]
        assert found.prompt_logprobs == pytest.approx(() if start is None else expected[start - 1 :], abs=ROUNDING)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_frequencies_are_those_of_the_distribution(engine_class: EngineClass, sampling: Sampling) -> None:
    prompt, num_samples = [3, 1, 2], 6000
    engine = engine_of(engine_class, concurrency=512)
    asked = [request(prompt, num_samples=num_samples, max_new_tokens=2, sampling=sampling)]
    drawn = tokens_of(generate(engine, asked))
    first = Counter(tokens[0] for tokens in drawn)
    (common, num_common), *_ = first.most_common(1)
    second = Counter(tokens[1] for tokens in drawn if tokens[0] == common)
    for counted, total, context in ((first, num_samples, prompt), (second, num_common, [*prompt, common])):
        logits_V = hf_response_logits(hf_model(tiny_model()), context, [0])[0]
        expected = [p * total for p in expected_distribution(logits_V, sampling)]
        assert all(expected[token] > 0 for token in counted)
        assert chi_square(counted, expected) < 1


def chi_square(counted: Counter[int], expected: list[float]) -> float:
    """Return Pearson's statistic over its 99.9% quantile (Wilson and Hilferty), tokens expected rarely taken as one."""
    often = [t for t, e in enumerate(expected) if e >= 5]
    cells = [(counted[t], expected[t]) for t in often]
    rare = (counted.total() - sum(c for c, _ in cells), sum(expected) - sum(e for _, e in cells))
    cells += [rare] if rare[1] >= 5 else []
    freedom = len(cells) - 1
    assert freedom >= 1
    spread = 2 / (9 * freedom)
    return sum((c - e) ** 2 / e for c, e in cells) / (freedom * (1 - spread + 3.0902 * math.sqrt(spread)) ** 3)


@pytest.mark.parametrize("concurrency", [1, 3, 64])
def test_draws_do_not_depend_on_how_many_are_decoded_at_once(engine_class: EngineClass, concurrency: int) -> None:
    alone = [c for r in mixed_requests() for c in generate(engine_of(engine_class), [r])]
    together = generate(engine_of(engine_class, concurrency=concurrency), mixed_requests())
    assert tokens_of(together) == tokens_of(alone)
    assert logprobs_of(together) == pytest.approx(logprobs_of(alone), abs=ROUNDING)


def test_draws_do_not_depend_on_the_order_of_requests(engine_class: EngineClass) -> None:
    asked = mixed_requests()
    forward = generate(engine_of(engine_class, concurrency=3), asked)
    backward = generate(engine_of(engine_class, concurrency=3), asked[::-1])
    named = {(len(asked) - 1 - c.request, c.sample): c for c in backward}
    found = [named[c.request, c.sample] for c in forward]
    assert tokens_of(found) == tokens_of(forward)
    assert logprobs_of(found) == pytest.approx(logprobs_of(forward), abs=ROUNDING)


def test_a_repeated_generation_is_the_same_to_the_bit(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class, concurrency=5)
    assert generate(engine, mixed_requests()) == generate(engine, mixed_requests())


def test_samples_of_a_group_go_on_from_the_first_sample(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class)
    whole = generate(engine, [request([3, 1], num_samples=6)])
    rest = generate(engine, [request([3, 1], num_samples=2, first_sample=4)])
    assert tokens_of(rest) == tokens_of(whole)[4:]
    assert [c.sample for c in rest] == [0, 1]
    assert len(set(tokens_of(whole))) == 6


@pytest.mark.parametrize("part", ["seed", "stage", "step", "group"])
def test_each_part_of_the_key_chooses_other_draws(engine_class: EngineClass, part: str) -> None:
    key = DrawKey(seed=1, stage=1, step=1, group=1)
    asked = [request([3, 1], key=key), request([3, 1], key=replace(key, **{part: 2}))]
    first, second = tokens_of(generate(engine_of(engine_class), asked))
    assert first != second


def test_tokens_of_equal_logits_are_kept_alike_whatever_else_is_open(engine_class: EngineClass) -> None:
    # All logits are 0 under weights of 0: only the settings of the row itself may say which ones are kept.
    model = tiny_model(vocab_size=VOCAB)
    engine = engine_class(model, concurrency=64, max_context_tokens=64)
    engine.load_weights(((name, torch.zeros_like(t)) for name, t in weights_of(model).items()), version=1)
    narrow = request([3], num_samples=20, max_new_tokens=4, sampling=Sampling(temperature=1.0, top_p=1.0, top_k=3))
    others = [
        request([3, 1], max_new_tokens=4, sampling=Sampling(temperature=1.0, top_p=1.0, top_k=20)),
        request([3, 1, 2], max_new_tokens=4, sampling=Sampling(temperature=1.0, top_p=0.5, top_k=OFF)),
    ]
    alone = generate(engine, [narrow])
    assert {t for c in alone for t in c.tokens} == {0, 1, 2}
    for other in others:
        assert generate(engine, [narrow, other])[:20] == alone


def test_more_candidates_than_tokens_keep_all(engine_class: EngineClass) -> None:
    wide = Sampling(temperature=1.0, top_p=1.0, top_k=VOCAB + 100)
    engine = engine_of(engine_class)
    assert tokens_of(generate(engine, [request([3], num_samples=5, sampling=wide)])) == tokens_of(
        generate(engine, [request([3], num_samples=5)])
    )


def test_a_stop_token_ends_a_response_and_is_part_of_it(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class)
    free = generate(engine, [request([3, 1], num_samples=8, max_new_tokens=40)])
    stops = frozenset({free[0].tokens[0], free[1].tokens[9], 5})
    for stopped, whole in zip(
        generate(engine, [request([3, 1], num_samples=8, max_new_tokens=40, stop_token_ids=stops)]), free, strict=True
    ):
        hits = [i for i, t in enumerate(whole.tokens) if t in stops]
        assert stopped.tokens == (whole.tokens[: hits[0] + 1] if hits else whole.tokens)
        assert stopped.finish == ("stop" if hits else "length")
        assert len(stopped.logprobs) == len(stopped.versions) == len(stopped.tokens)


def test_a_response_without_stop_token_ends_by_its_length(engine_class: EngineClass) -> None:
    asked = [request([3] * n, max_new_tokens=most) for n, most in ((1, 1), (2, 9), (3, 61))]
    found = generate(engine_of(engine_class, max_context_tokens=64), asked)
    assert [(len(c.tokens), c.finish) for c in found] == [(1, "length"), (9, "length"), (61, "length")]


def test_a_stop_token_drawn_last_is_a_stop(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class)
    last = generate(engine, [request([3], sampling=GREEDY, max_new_tokens=1)])[0].tokens[0]
    stop = frozenset({last})
    assert generate(engine, [request([3], sampling=GREEDY, max_new_tokens=1, stop_token_ids=stop)])[0].finish == "stop"


def test_no_requests_give_no_responses(engine_class: EngineClass) -> None:
    assert generate(engine_of(engine_class), []) == []


def test_a_group_larger_than_the_batch_is_served_whole(engine_class: EngineClass) -> None:
    asked = [request([3, 1, 2], num_samples=11, max_new_tokens=6)]
    found = generate(engine_of(engine_class, concurrency=2), asked)
    assert [c.sample for c in found] == list(range(11))
    assert tokens_of(found) == tokens_of(generate(engine_of(engine_class, concurrency=16), asked))


def test_a_short_response_is_delivered_while_a_long_one_goes_on(engine_class: EngineClass) -> None:
    # What is drawn after the first delivery carries the version that is loaded then.
    engine, model = engine_of(engine_class), tiny_model()
    asked = [request([3, 1], max_new_tokens=60), request([7], max_new_tokens=3)]

    async def run() -> list[Completion]:
        found: list[Completion] = []
        async for completion in engine.generate(asked):
            if not found:
                engine.load_weights(iter(weights_of(model).items()), version=2)
            found.append(completion)
        return found

    short, long = asyncio.run(run())
    assert (short.request, short.versions) == (1, (1, 1, 1))
    assert (long.request, set(long.versions)) == (0, {1, 2})
    assert list(long.versions) == sorted(long.versions)
    assert tokens_of([long, short]) == tokens_of(generate(engine_of(engine_class), asked))


def test_each_token_is_stamped_with_the_version_that_drew_it(engine_class: EngineClass) -> None:
    # Under version 2 all logits are 0, and the first of equals is the likeliest.
    model = tiny_model(tie_embeddings=False)
    engine, changed = engine_of(engine_class, model, concurrency=4), weights_of(model)
    changed["lm_head.weight"] = torch.zeros(VOCAB, 32)
    likeliest = Sampling(temperature=1.0, top_p=1.0, top_k=1)
    asked = [request([3, 1], num_samples=7, max_new_tokens=30, sampling=likeliest), request([7], max_new_tokens=2)]
    before = generate(engine, asked)

    async def run() -> list[Completion]:
        found: list[Completion] = []
        async for completion in engine.generate(asked[::-1]):
            if not found:
                engine.load_weights(iter(changed.items()), version=2)
            found.append(completion)
        return sorted(found, key=lambda c: (-c.request, c.sample))

    for old, new in zip(before[:7], asyncio.run(run())[:7], strict=True):
        num_old = new.versions.count(1)
        assert new.versions == (1,) * num_old + (2,) * (30 - num_old)
        assert new.tokens == old.tokens[:num_old] + (0,) * (30 - num_old)


def test_calls_that_are_open_at_once_all_complete(engine_class: EngineClass) -> None:
    engine, asked = engine_of(engine_class, concurrency=4), mixed_requests()

    async def collect(requests: list[GenerationRequest]) -> list[Completion]:
        return [c async for c in engine.generate(requests)]

    async def run() -> Sequence[list[Completion]]:
        return await asyncio.gather(collect(asked[:3]), collect(asked[3:]), collect(asked))

    alone = generate(engine_of(engine_class), asked)
    for found, expected in zip(
        asyncio.run(run()),
        ([c for c in alone if c.request < 3], [c for c in alone if c.request >= 3], alone),
        strict=True,
    ):
        found.sort(key=lambda c: (c.request, c.sample))
        assert tokens_of(found) == tokens_of(expected)


def test_a_short_call_does_not_wait_for_a_long_one(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class)
    ended: list[str] = []

    async def collect(name: str, asked: GenerationRequest) -> None:
        async for _ in engine.generate([asked]):
            ended.append(name)

    async def run() -> None:
        long, short = request([3], max_new_tokens=100), request([3, 1], max_new_tokens=2)
        await asyncio.gather(collect("long", long), collect("short", short))

    asyncio.run(run())
    assert ended == ["short", "long"]


def test_a_call_that_is_given_up_leaves_the_others_intact(engine_class: EngineClass) -> None:
    engine, asked = engine_of(engine_class, concurrency=4), mixed_requests()

    async def run() -> list[Completion]:
        given_up = engine.generate([request([9], max_new_tokens=1), request([9, 9], num_samples=9, max_new_tokens=90)])
        first = await anext(given_up)
        assert first.request == 0
        kept = engine.generate(asked)
        found = [await anext(kept)]
        await close(given_up)
        return [*found, *[c async for c in kept]]

    found = sorted(asyncio.run(run()), key=lambda c: (c.request, c.sample))
    assert tokens_of(found) == tokens_of(generate(engine_of(engine_class), asked))


def aborted_after(
    engine: RolloutEngine, asked: Sequence[GenerationRequest], *, num_finished: int
) -> tuple[list[Completion], list[Completion]]:
    """Return the first responses to finish, and what a generation gives back that is broken off then."""

    async def run() -> tuple[list[Completion], list[Completion]]:
        generation = engine.begin()
        generation.submit(asked)
        finished = [await generation.next() for _ in range(num_finished)]
        left = generation.abort()
        assert await generation.next() is None
        assert generation.abort() == []
        return [c for c in finished if c is not None], left

    return asyncio.run(run())


def resumed(asked: GenerationRequest, part: Completion) -> GenerationRequest:
    """Return the request for what a response that was broken off still lacks."""
    return replace(
        asked,
        tokens=asked.tokens + part.tokens,
        num_samples=1,
        first_sample=asked.first_sample + part.sample,
        max_new_tokens=asked.max_new_tokens - len(part.tokens),
        first_draw=asked.first_draw + len(part.tokens),
    )


LONG = [request([3, 1], num_samples=3, max_new_tokens=40), request([7], max_new_tokens=3), request([9, 9])]


def test_a_response_that_was_broken_off_is_the_beginning_of_the_whole_one(engine_class: EngineClass) -> None:
    whole = {(c.request, c.sample): c for c in generate(engine_of(engine_class), LONG)}
    finished, left = aborted_after(engine_of(engine_class), LONG, num_finished=1)
    assert [c.request for c in finished] == [1]
    parts = [c for c in left if c.finish == "abort"]
    assert parts
    for part in parts:
        of = whole[part.request, part.sample]
        assert 0 < len(part.tokens) == len(part.logprobs) == len(part.versions) < len(of.tokens)
        assert part.tokens == of.tokens[: len(part.tokens)]
        assert part.logprobs == pytest.approx(of.logprobs[: len(part.tokens)], abs=ROUNDING)


@pytest.mark.parametrize("sampling", [GREEDY, *SAMPLINGS], ids=str)
def test_a_response_that_is_resumed_under_the_same_weights_is_the_uninterrupted_one(
    engine_class: EngineClass, sampling: Sampling
) -> None:
    asked = [replace(r, sampling=sampling) for r in LONG]
    engine = engine_of(engine_class)
    whole = {(c.request, c.sample): c for c in generate(engine, asked)}
    _, left = aborted_after(engine, asked, num_finished=1)
    parts = [c for c in left if c.finish == "abort"]
    rests = generate(engine, [resumed(asked[part.request], part) for part in parts])
    for part, rest in zip(parts, rests, strict=True):
        of = whole[part.request, part.sample]
        assert part.tokens + rest.tokens == of.tokens
        assert part.logprobs + rest.logprobs == pytest.approx(of.logprobs, abs=1e-4)
        assert rest.finish == of.finish


def test_a_resumed_response_says_which_weights_drew_which_of_its_tokens(engine_class: EngineClass) -> None:
    engine, model = engine_of(engine_class), tiny_model()
    engine.load_weights(iter(weights_of(model).items()), version=3)
    _, left = aborted_after(engine, LONG, num_finished=1)
    part = next(c for c in left if c.finish == "abort" and c.request == 0)
    engine.load_weights(iter(weights_of(model, seed=1).items()), version=4)
    (rest,) = generate(engine, [resumed(LONG[0], part)])
    assert part.versions + rest.versions == (3,) * len(part.tokens) + (4,) * (40 - len(part.tokens))


def test_what_is_broken_off_and_when_follows_from_the_requests_alone(engine_class: EngineClass) -> None:
    used = engine_of(engine_class, concurrency=4)
    generate(used, mixed_requests()[:3])
    for num_finished in (1, 3):
        fresh = aborted_after(engine_of(engine_class, concurrency=4), mixed_requests(), num_finished=num_finished)
        assert aborted_after(used, mixed_requests(), num_finished=num_finished) == fresh


def test_a_generation_that_is_aborted_leaves_room_for_others(engine_class: EngineClass) -> None:
    engine, asked = engine_of(engine_class, concurrency=2), mixed_requests()
    for _ in range(5):
        aborted_after(
            engine,
            [request([3], num_samples=9, max_new_tokens=90), request([1], max_new_tokens=1)][::-1],
            num_finished=1,
        )
    assert tokens_of(generate(engine, asked)) == tokens_of(generate(engine_of(engine_class, concurrency=2), asked))


def test_requests_that_are_added_later_are_numbered_on(engine_class: EngineClass) -> None:
    engine, asked = engine_of(engine_class, concurrency=4), mixed_requests()

    async def run() -> list[Completion]:
        generation, found = engine.begin(), list[Completion]()
        generation.submit(asked[:3])
        while (completion := await generation.next()) is not None:
            found.append(completion)
            if len(found) == 2:
                generation.submit(asked[3:])
        return found

    found = sorted(asyncio.run(run()), key=lambda c: (c.request, c.sample))
    assert tokens_of(found) == tokens_of(generate(engine_of(engine_class), asked))


async def close(calls: AsyncIterator[Completion]) -> None:
    closing: Any = calls
    await closing.aclose()


@pytest.mark.parametrize(
    ("code", "asked", "said"),
    [
        ("RLC0630", request([1] * 60, max_new_tokens=5), "60 prompt tokens + 5 new tokens = 65"),
        ("RLC0631", request([]), "request 1 has an empty prompt"),
        ("RLC0632", request([1, VOCAB]), f"token id {VOCAB}, and model.vocab_size = {VOCAB}"),
        ("RLC0632", request([1], stop_token_ids=frozenset({-1})), "token id -1"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_any(
    engine_class: EngineClass, code: str, asked: GenerationRequest, said: str
) -> None:
    engine = engine_of(engine_class, max_context_tokens=64)
    with pytest.raises(SpecError) as fault:
        generate(engine, [request([1]), asked])
    assert codes(fault) == [code]
    assert said in fault.value.diagnostics[0].message
    assert len(generate(engine, [request([1])])) == 1


def test_all_requests_that_cannot_be_served_are_named_at_once(engine_class: EngineClass) -> None:
    with pytest.raises(SpecError) as fault:
        generate(engine_of(engine_class), [request([]), request([1]), request([VOCAB] * 127)])
    assert codes(fault) == ["RLC0631", "RLC0630", "RLC0632"]


def test_weights_are_held_as_they_were_loaded(engine_class: EngineClass) -> None:
    for model in MODELS.values():
        given, held = weights_of(model), dict(engine_of(engine_class, model).weights())
        assert held.keys() == given.keys()
        assert all(held[name].equal(tensor) for name, tensor in given.items())


def test_weights_that_do_not_fit_are_all_named(engine_class: EngineClass) -> None:
    model = tiny_model()
    given = weights_of(model)
    given["model.norm.wieght"] = given.pop("model.norm.weight")
    given["model.embed_tokens.weight"] = given["model.embed_tokens.weight"][:-1]
    engine = engine_class(model, concurrency=2, max_context_tokens=64)
    with pytest.raises(SpecError) as fault:
        engine.load_weights(iter(given.items()), version=1)
    assert sorted(codes(fault)) == ["RLC0633", "RLC0634", "RLC0635"]
    said = " ".join(d.message for d in fault.value.diagnostics)
    assert "no weight model.norm.wieght" in said
    assert "1 weights were not given to the rollout engine: model.norm.weight" in said
    assert f"model.embed_tokens.weight has shape [{VOCAB - 1}, 32], and [model] makes it [{VOCAB}, 32]" in said


def test_weights_of_which_only_some_came_are_not_generated_from(engine_class: EngineClass) -> None:
    engine = engine_of(engine_class)

    def interrupted() -> Iterator[tuple[str, torch.Tensor]]:
        yield "model.norm.weight", torch.zeros(32)
        raise OSError("the trainer has gone")

    with pytest.raises(OSError, match="has gone"):
        engine.load_weights(interrupted(), version=2)
    with pytest.raises(InternalError):
        generate(engine, [request([1])])


def test_a_tied_head_may_be_given_if_it_is_the_embedding(engine_class: EngineClass) -> None:
    model = tiny_model()
    given, engine = weights_of(model), engine_of(engine_class, model)
    given["lm_head.weight"] = given["model.embed_tokens.weight"].clone()
    engine.load_weights(iter(given.items()), version=2)
    given["lm_head.weight"][3, 4] += 1
    with pytest.raises(SpecError) as fault:
        engine.load_weights(iter(given.items()), version=3)
    assert codes(fault) == ["RLC0636"]


def test_a_policy_that_is_not_a_number_ends_all_calls_and_can_be_mended(engine_class: EngineClass) -> None:
    model = tiny_model()
    engine, broken = engine_of(engine_class, model), weights_of(model)
    broken["model.layers.1.mlp.down_proj.weight"] = torch.full((32, 48), torch.nan)
    engine.load_weights(iter(broken.items()), version=2)

    async def collect(asked: GenerationRequest) -> list[Completion]:
        return [c async for c in engine.generate([asked])]

    async def run() -> list[list[Completion] | BaseException]:
        asked = (request([3], num_samples=20), request([3, 1], sampling=GREEDY))
        return await asyncio.gather(*map(collect, asked), return_exceptions=True)

    faults = asyncio.run(run())
    assert all(isinstance(f, SpecError) and f.diagnostics[0].code == "RLC0637" for f in faults)
    assert "weights of version 2" in str(faults[0])
    engine.load_weights(iter(weights_of(model).items()), version=3)
    assert tokens_of(generate(engine, mixed_requests())) == tokens_of(
        generate(engine_of(engine_class), mixed_requests())
    )


def test_an_overflow_at_one_token_only_is_reported(engine_class: EngineClass) -> None:
    # After token 0 the logits overflow, and its keys and values are finite: what follows is as if nothing had been.
    model = tiny_model(tie_embeddings=False, num_layers=1)
    given = {name: torch.zeros_like(t) for name, t in weights_of(model).items()}
    given["model.norm.weight"] = torch.ones(32)
    given["model.embed_tokens.weight"][0, 0] = 1.0
    given["model.embed_tokens.weight"][1:, 1] = 1.0
    given["lm_head.weight"][:, 0] = 3e38
    engine = engine_class(model, concurrency=2, max_context_tokens=64)
    engine.load_weights(iter(given.items()), version=1)
    with pytest.raises(SpecError) as fault:
        generate(engine, [request([5], num_samples=4, max_new_tokens=60, sampling=PLAIN)])
    assert codes(fault) == ["RLC0637"]
