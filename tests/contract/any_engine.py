"""What every rollout engine must do, also one that draws from a source of its own.

Engines that draw by name pass these and the rest (test_rollout_engine.py).  Those that do not are other programs,
behind a client of rlc, and run in lanes of their own (tests/engines/).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Never

import pytest
import torch

from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Sampling
from runtime.protocols import Completion, RolloutEngine
from tests.contract.rollout_engines import (
    GREEDY,
    SAMPLINGS,
    expected_distribution,
    generate,
    hf_response_logits,
    request,
    weights_of,
)
from tests.runtime.engines.tiny_trainer import hf_model

# fp32 sums of other matrix products, over responses of some tens of tokens.
ROUNDING = 1e-5


@dataclass(frozen=True, kw_only=True)
class UnderContract:
    """An engine that has the weights of `hf_model(model, 0)`, version 1, and in what it may differ.

    Args:
        renormalizes: whether top-p is a share of what top-k keeps, and not of all.
        filters: whether its log-probs are those after top-k and top-p.
        has_min_tokens: whether it takes a least number of tokens; SGLang does only with a tokenizer.
        names_tokens: whether log-probs of named tokens are given at each position.
        gives_tokens_of_aborted: whether responses that are broken off come back with what there is of them.
        num_new_tokens: of a long response, so long that it is under way while something else happens.
    """

    engine: RolloutEngine
    model: Model[Never]
    renormalizes: bool = True
    filters: bool = True
    has_min_tokens: bool = True
    names_tokens: bool = True
    gives_tokens_of_aborted: bool = True
    num_new_tokens: int = 400


Check = Callable[[UnderContract], None]


def greedy_tokens_are_those_of_hugging_face(under: UnderContract) -> None:
    prompts = [[7], [3, 1, 2], [(5 * i) % 37 for i in range(45)]]
    found = generate(under.engine, [request(p, max_new_tokens=30, sampling=GREEDY) for p in prompts])
    reference = hf_model(under.model)
    for prompt, completion in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        settings: Any = {"do_sample": False, "max_new_tokens": 30, "eos_token_id": None, "pad_token_id": 0}
        whole = reference.generate(ids, attention_mask=torch.ones_like(ids), **settings)
        assert list(completion.tokens) == whole[0, len(prompt) :].tolist()


def log_probs_are_those_of_the_distribution_drawn_from(under: UnderContract) -> None:
    reference = hf_model(under.model)
    prompts = [[5], [(7 * i) % 37 for i in range(38)]]
    samplings = [s for s in (*SAMPLINGS, GREEDY) if under.filters or (s.top_p == 1 and isinstance(s.top_k, Off))]
    asked = [request(p, num_samples=3, max_new_tokens=24, sampling=s) for p in prompts for s in samplings]
    for completion in generate(under.engine, asked):
        of = asked[completion.request]
        assert len(completion.tokens) == len(completion.logprobs) == 24
        logits_NV = hf_response_logits(reference, of.tokens, completion.tokens)
        for logits_V, token, logprob in zip(logits_NV, completion.tokens, completion.logprobs, strict=True):
            expected = _distribution(under, logits_V, of.sampling)
            assert logprob == pytest.approx(math.log(expected[token]), abs=ROUNDING)


def _distribution(under: UnderContract, logits_V: torch.Tensor, sampling: Sampling) -> list[float]:
    if under.renormalizes or isinstance(sampling.top_k, Off) or sampling.top_p == 1:
        return expected_distribution(logits_V, sampling)
    both = [
        expected_distribution(logits_V, Sampling(temperature=sampling.temperature, top_p=1.0, top_k=sampling.top_k)),
        expected_distribution(logits_V, Sampling(temperature=sampling.temperature, top_p=sampling.top_p, top_k=OFF)),
    ]
    kept = [p if q > 0 else 0.0 for p, q in zip(*both, strict=True)]
    return [p / sum(kept) for p in kept]


def samples_of_a_request_differ(under: UnderContract) -> None:
    found = generate(under.engine, [request([3, 1], num_samples=40, max_new_tokens=6)])
    assert [c.sample for c in found] == list(range(40))
    assert len({c.tokens for c in found}) > 30


def log_probs_of_a_prompt_are_those_of_the_softmax(under: UnderContract) -> None:
    prompt = [(7 * i) % 37 for i in range(40)]
    starts = (1, 25, None)
    logprob_NV = hf_response_logits(hf_model(under.model), prompt[:1], prompt[1:]).log_softmax(-1)
    expected = [float(logprob_NV[at, token]) for at, token in enumerate(prompt[1:])]
    for found in generate(under.engine, [request(prompt, prompt_logprobs_from=start) for start in starts]):
        start = starts[found.request]
        assert found.prompt_logprobs == pytest.approx(() if start is None else expected[start - 1 :], abs=ROUNDING)


def likeliest_and_named_tokens_are_those_of_the_softmax(under: UnderContract) -> None:
    names = (5, 30) if under.names_tokens else ()
    (found,) = generate(under.engine, [request([3, 1, 2], top_logprobs=4, logprob_token_ids=names)])
    logits_NV = hf_response_logits(hf_model(under.model), [3, 1, 2], found.tokens).log_softmax(-1)
    assert len(found.token_logprobs) == (len(found.tokens) if names else 0)
    named_N = found.token_logprobs or ((),) * len(found.tokens)
    for logprob_V, likeliest, named in zip(logits_NV, found.top_logprobs, named_N, strict=True):
        top = logprob_V.topk(4)
        assert [token for token, _ in likeliest] == top.indices.tolist()
        assert [p for _, p in likeliest] == pytest.approx(top.values.tolist(), abs=ROUNDING)
        assert named == pytest.approx([float(logprob_V[token]) for token in names], abs=ROUNDING)


def a_stop_token_ends_a_response_and_is_part_of_it(under: UnderContract) -> None:
    (free,) = generate(under.engine, [request([3, 1], max_new_tokens=40, sampling=GREEDY)])
    stop = free.tokens[9]
    asked = request([3, 1], max_new_tokens=40, sampling=GREEDY, stop_token_ids=frozenset({stop}))
    (stopped,) = generate(under.engine, [asked])
    assert stopped.tokens == free.tokens[: free.tokens.index(stop) + 1]
    assert (stopped.finish, stopped.stop_reason) == ("stop", stop)
    assert len(stopped.logprobs) == len(stopped.versions) == len(stopped.tokens)
    assert (free.finish, free.stop_reason) == ("length", None)
    if under.has_min_tokens:
        (found,) = generate(under.engine, [replace(asked, min_new_tokens=20)])
        assert len(found.tokens) >= 20
        assert stop not in found.tokens[:19]


def responses_of_all_requests_arrive_and_later_ones_are_numbered_on(under: UnderContract) -> None:
    async def run() -> list[Completion]:
        generation, found = under.engine.begin(), list[Completion]()
        generation.submit([request([n], num_samples=2, max_new_tokens=3 + n) for n in range(5)])
        while (completion := await generation.next()) is not None:
            found.append(completion)
            if len(found) == 4:
                generation.submit([request([9], max_new_tokens=2), request([8], max_new_tokens=4, sampling=GREEDY)])
        return found

    found = sorted(asyncio.run(run()), key=lambda c: (c.request, c.sample))
    assert [(c.request, c.sample) for c in found] == [*((n, s) for n in range(5) for s in (0, 1)), (5, 0), (6, 0)]
    assert [len(c.tokens) for c in found] == [3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 2, 4]


def what_is_broken_off_comes_back_and_leaves_room(under: UnderContract) -> None:
    long = request([3, 1], num_samples=3, max_new_tokens=under.num_new_tokens, sampling=GREEDY)

    async def run() -> tuple[Completion | None, list[Completion]]:
        generation = under.engine.begin()
        generation.submit([request([7], max_new_tokens=20), long])
        first = await generation.next()
        left = generation.abort()
        assert await generation.next() is None
        return first, left

    (whole,) = generate(under.engine, [replace(long, num_samples=1)])
    first, left = asyncio.run(run())
    assert first is not None
    assert first.request == 0
    parts = [c for c in left if c.finish == "abort"]
    assert bool(parts) is under.gives_tokens_of_aborted
    for part in parts:
        assert 0 < len(part.tokens) == len(part.logprobs) < under.num_new_tokens
        assert part.tokens == whole.tokens[: len(part.tokens)]
    assert len(generate(under.engine, [request([n], max_new_tokens=2) for n in range(8)])) == 8


def new_weights_are_drawn_from_and_stamped(under: UnderContract) -> None:
    asked = [request([3, 1, 2], max_new_tokens=20, sampling=GREEDY)]
    for seed, version in ((1, 2), (0, 3)):
        under.engine.load_weights(iter(weights_of(under.model, seed).items()), version=version)
        (found,) = generate(under.engine, asked)
        logits_NV = hf_response_logits(hf_model(under.model, seed), [3, 1, 2], found.tokens)
        assert found.tokens == tuple(logits_NV.argmax(-1).tolist())
        assert found.logprobs == pytest.approx(
            [float(row[token]) for row, token in zip(logits_NV.log_softmax(-1), found.tokens, strict=True)],
            abs=ROUNDING,
        )
        assert set(found.versions) == {version}


def weights_may_change_while_requests_are_under_way(under: UnderContract) -> None:
    asked = [request([7], max_new_tokens=2), request([3, 1], num_samples=2, max_new_tokens=under.num_new_tokens)]

    async def run() -> list[Completion]:
        found: list[Completion] = []
        async for completion in under.engine.generate(asked):
            if not found:
                under.engine.load_weights(iter(weights_of(under.model).items()), version=9)
            found.append(completion)
        return found

    found = asyncio.run(run())
    assert sorted((c.request, c.sample, len(c.tokens)) for c in found)[0] == (0, 0, 2)
    for completion in found[1:]:
        assert len(completion.tokens) == under.num_new_tokens
        assert completion.versions == tuple(sorted(completion.versions))
        assert completion.versions[-1] == 9


CONTRACT: tuple[Check, ...] = (
    greedy_tokens_are_those_of_hugging_face,
    log_probs_are_those_of_the_distribution_drawn_from,
    samples_of_a_request_differ,
    log_probs_of_a_prompt_are_those_of_the_softmax,
    likeliest_and_named_tokens_are_those_of_the_softmax,
    a_stop_token_ends_a_response_and_is_part_of_it,
    responses_of_all_requests_arrive_and_later_ones_are_numbered_on,
    what_is_broken_off_comes_back_and_leaves_room,
    new_weights_are_drawn_from_and_stamped,
    weights_may_change_while_requests_are_under_way,
)
CONTRACT_PARAMS = [pytest.param(check, id=check.__name__) for check in CONTRACT]
