"""Drafts by the layer that predicts a further token change no token: what is compared is an engine without them.

Of two kinds of layers: one with random weights, of whose drafts almost none are accepted, and one that was trained on
what its model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, Never

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.model import Model
from compiler.ir.rollout import Sampling
from compiler.ir.training import MultiTokenPrediction
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.engine import Memory, NativeEngine
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.train.hf_model import empty_model, held_weights
from runtime.engines.train.torch_ import TorchTrainer
from runtime.protocols import Completion, GenerationRequest
from stdlib.algorithms import sft
from tests.contract.rollout_engines import GREEDY, PLAIN, SAMPLINGS, generate, request
from tests.runtime.engines.tiny_trainer import (
    batch_of,
    spec_of,
    supervised_params,
    tiny_families,
    tiny_optim,
    tiny_train,
)
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

Kind = Literal["random", "trained"]
FAMILIES: dict[str, Model[Never]] = {
    name: tiny_families()[name].replacing(num_mtp_layers=1) for name in ("glm4_moe", "deepseek_v3")
}
ROUNDING = 1e-5
BOTH = pytest.mark.parametrize("kind", ["random", "trained"])
EACH = pytest.mark.parametrize("family", list(FAMILIES))


def words(num: int, *, start: int = 0) -> list[int]:
    return [(7 * i + i * i // 3 + start) % VOCAB for i in range(num)]


@cache
def weights_of(family: str, kind: Kind) -> dict[str, Tensor]:
    model = FAMILIES[family]
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for name, tensor in held_weights(empty_model(model, predicts=True)).items():
        noise = torch.randn(tensor.shape, generator=generator)
        found[name] = 1.0 + 0.2 * noise if name.endswith("norm.weight") else 0.15 * noise
    if kind == "random":
        return found
    train = tiny_train(mtp=MultiTokenPrediction(loss_coef=1.0))
    spec = spec_of(model=model, train=train, optim=tiny_optim(lr=1e-2), params=supervised_params())
    trainer = TorchTrainer(spec, sft, found)
    for seed in range(30):
        sequences = [words(24, start=(5 * seed + 3 * i) % 7) for i in range(6)]
        trainer.step(batch_of(sequences, [1] * 6))
    return {name: tensor.clone() for name, tensor in trainer.named_weights()}


def engine_of(family: str, kind: Kind = "trained", *, num_drafts: int = 0, **settings: Any) -> NativeEngine:
    limits = settings.pop("memory", Memory())._replace(num_drafts=num_drafts)
    plain: dict[str, Any] = {"concurrency": 8, "max_context_tokens": 400, "memory": limits, **settings}
    engine = NativeEngine(FAMILIES[family], **plain)
    engine.load_weights(iter(weights_of(family, kind).items()), version=1)
    return engine


def assert_same(found: Sequence[Completion], expected: Sequence[Completion]) -> None:
    def by_name(completions: Sequence[Completion]) -> list[Completion]:
        return sorted(completions, key=lambda c: (c.request, c.sample))

    for one, other in zip(by_name(found), by_name(expected), strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=ROUNDING)
        assert (one.finish, one.stop_reason, one.versions) == (other.finish, other.stop_reason, other.versions)


def mixed() -> list[GenerationRequest]:
    """Return prompts and responses of many lengths, sampled in every way."""
    lengths, most = (5, 120, 126, 3, 40, 1, 2, 250), (150, 20, 40, 1, 100, 5, 2, 90)
    settings = (*SAMPLINGS, GREEDY, PLAIN, GREEDY)
    return [
        request(words(n), max_new_tokens=m, sampling=s, num_samples=2)
        for n, m, s in zip(lengths, most, settings, strict=True)
    ]


def learnt(**changes: Any) -> list[GenerationRequest]:
    """Return prompts like those that the layer learnt from, of which it foresees a good part."""
    return [request(words(5, start=i), **{"max_new_tokens": 24, "num_samples": 2, **changes}) for i in range(5)]


def accepted(engine: NativeEngine) -> int:
    return engine.counters()["accepted_tokens"]


@EACH
@BOTH
@pytest.mark.parametrize("num_drafts", [1, 3])
def test_tokens_and_logprobs_are_those_without_drafts(family: str, kind: Kind, num_drafts: int) -> None:
    engine, asked = engine_of(family, kind, num_drafts=num_drafts), mixed()
    assert_same(generate(engine, asked), generate(engine_of(family, kind), asked))


@EACH
@pytest.mark.parametrize("sampling", [GREEDY, PLAIN])
def test_a_layer_that_was_trained_is_believed_more_often(family: str, sampling: Sampling) -> None:
    shares: dict[Kind, float] = {}
    kinds: tuple[Kind, ...] = ("random", "trained")
    for kind in kinds:
        engine, asked = engine_of(family, kind, num_drafts=2), learnt(sampling=sampling)
        assert_same(generate(engine, asked), generate(engine_of(family, kind), asked))
        counts = engine.counters()
        shares[kind] = counts["accepted_tokens"] / counts["drafted_tokens"]
    assert shares["random"] < 0.2 < 0.25 < shares["trained"]


@EACH
def test_drafts_are_what_the_layer_predicts_of_the_whole_sequence(family: str) -> None:
    """A prompt and its response, run at once through model and layer, say which single drafts were accepted."""
    engine, (asked, *_) = engine_of(family, num_drafts=1), learnt(sampling=GREEDY, num_samples=1)
    (found,) = generate(engine, [asked])
    tokens = torch.tensor([[*asked.tokens, *found.tokens]])
    network = Decoder(FAMILIES[family], architecture(FAMILIES[family]), num_positions=64, drafts=True)
    given = weights_of(family, "trained")
    for weight in network.weights():
        weight.load(given[weight.name])
    with torch.inference_mode():
        kv, _ = network.prefill(tokens, torch.tensor([tokens.shape[1] - 1]))
        hidden_1ND = network.prompt_states()[None, :-1]
        tables = kv[-network.tables_per_layer :]
        logits, _ = network.predict(0, tokens[:, 1:], hidden_1ND, tables, torch.tensor([0]))
    is_foreseen = [a == b for a, b in zip(logits[0].argmax(-1).tolist(), tokens[0, 2:].tolist(), strict=False)]
    at, last, num_accepted = len(asked.tokens), tokens.shape[1] - 1, 0
    while at < last:
        # The token at `at` is the last one; the draft in the place behind it was made two positions before.
        is_kept = is_foreseen[at - 1] and at + 1 < last
        num_accepted += is_kept
        at += 1 + is_kept
    assert num_accepted == accepted(engine) > 3


@EACH
def test_a_response_ends_within_a_run_where_it_would_end(family: str) -> None:
    def text(tokens: Sequence[int]) -> str:
        return "".join(chr(97 + t) for t in tokens)

    for changes in (
        {"stop_token_ids": frozenset({3, 16})},
        {"stop_token_ids": frozenset({3, 16}), "min_new_tokens": 7, "logprob_token_ids": (1, 2), "top_logprobs": 2},
        {"stop_strings": (chr(97 + 16) + chr(97 + 29),), "decode": text},
    ):
        asked = learnt(**changes)
        engine = engine_of(family, num_drafts=3)
        found, expected = generate(engine, asked), generate(engine_of(family), asked)
        assert_same(found, expected)
        assert accepted(engine) > 0
        assert "stop" in {c.finish for c in found}
        named = {(c.request, c.sample): c for c in expected}
        for one in found:
            other = named[one.request, one.sample]
            assert torch.tensor(one.token_logprobs).allclose(torch.tensor(other.token_logprobs), atol=ROUNDING)
            assert [[t for t, _ in top] for top in one.top_logprobs] == [
                [t for t, _ in top] for top in other.top_logprobs
            ]


@EACH
def test_sequences_that_are_preempted_or_run_in_parts_draw_the_same_tokens(family: str) -> None:
    asked = [*learnt(), *(request(words(50, start=i), max_new_tokens=120, num_samples=2) for i in range(3))]
    engine, plain = (engine_of(family, num_drafts=n, memory=Memory(512, 16)) for n in (2, 0))
    expected = generate(engine_of(family), asked)
    for one in (engine, plain):
        assert_same(generate(one, asked), expected)
        assert one.counters()["preemptions"] > 0
    assert accepted(engine) > 0


@EACH
def test_prefixes_are_used_again(family: str) -> None:
    engine, plain = engine_of(family, num_drafts=2), engine_of(family)
    first = request(words(40), max_new_tokens=20, keeps_prefix=True)
    for one in (engine, plain):
        first_answer = generate(one, [first])[0].tokens
    # While another call is open, what was held stays.
    longer = [
        replace(first, tokens=first.tokens + first_answer + (1, 2), key=replace(first.key, step=i)) for i in (1, 2)
    ]

    def in_turn(one: NativeEngine) -> list[Completion]:
        call = one.begin()
        call.submit([request(words(3), max_new_tokens=100)])
        answers = generate(one, [first]) + generate(one, longer)
        call.abort()
        return answers

    found, expected = in_turn(engine), in_turn(plain)
    assert_same(found[:1], expected[:1])
    assert_same(found[1:], expected[1:])
    assert engine.counters()["reused_tokens"] > 0


def test_what_is_broken_off_goes_on_as_if_it_had_not_been() -> None:
    (asked,) = learnt(num_samples=1, max_new_tokens=40)[:1]
    whole = generate(engine_of("glm4_moe"), [asked])[0]
    engine = engine_of("glm4_moe", num_drafts=2)
    call = engine.begin()
    call.submit([asked])
    engine.advance()
    (part,) = call.abort()
    num = len(part.tokens)
    assert 8 < num < 40
    rest = replace(asked, tokens=asked.tokens + part.tokens, first_draw=num, max_new_tokens=40 - num)
    (other,) = generate(engine, [rest])
    assert part.tokens + other.tokens == whole.tokens
    assert part.logprobs + other.logprobs == pytest.approx(whole.logprobs, abs=ROUNDING)


def test_tokens_are_stamped_with_the_weights_that_drew_them() -> None:
    (asked,) = learnt(num_samples=1, max_new_tokens=40)[:1]
    engine = engine_of("glm4_moe", num_drafts=2)
    call = engine.begin()
    call.submit([asked])
    engine.advance()
    (num_before,) = [s.num_drawn(engine.scheduler._step) for _, _, s in engine.scheduler.lanes.live()]
    engine.load_weights(iter(weights_of("glm4_moe", "random").items()), version=2)
    while (found := call.poll()) is None:
        engine.advance()
    assert found.versions == (1,) * num_before + (2,) * (40 - num_before)
    assert len(found.tokens) == 40


def test_experts_are_recorded_of_what_is_kept() -> None:
    asked = learnt()
    engine, plain = (engine_of("glm4_moe", num_drafts=n, returns_experts=True) for n in (3, 0))
    found, expected = generate(engine, asked), generate(plain, asked)
    assert_same(found, expected)
    named = {(c.request, c.sample): c.expert_ids for c in expected}
    for one in found:
        other = named[one.request, one.sample]
        assert one.expert_ids is not None
        assert other is not None
        assert one.expert_ids.ids_TLC.equal(other.ids_TLC)


def test_one_layer_drafts_and_not_in_deterministic_mode() -> None:
    with pytest.raises(InternalError, match="one layer"):
        engine_of("glm4_moe", num_drafts=1, deterministic=True)
