"""The rollout worker: prompts to scored groups, through a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from compiler.ir.model import Tokenizer
from compiler.ir.openness import OFF
from compiler.ir.rollout import Reward
from runtime import protocols
from runtime.data.tokenizers import load_tokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.protocols import DrawKey, RolloutEngine
from runtime.rewards.runner import RewardRunner
from runtime.rollouts import RolloutWorker
from stdlib.samples import Group, Prompt, SampleId
from tests.contract.rollout_engines import PLAIN, engine_of, generate, request, weights_of
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

# 4 special tokens and 33 characters: the 37 tokens of the model.
ALPHABET = "0123456789+-*/=()abcdefghijklmnop"
MODEL = tiny_model(tokenizer=Tokenizer(kind="characters", alphabet=ALPHABET))
TOKENIZER = load_tokenizer(MODEL, root=Path())
KEY = DrawKey(seed=5, stage=1, step=3, group=20)


def prompt(row: int, text: str, label: str = "") -> Prompt:
    return Prompt(row=row, source=f"d.jsonl:{row + 1}", text=text, tokens=TOKENIZER.encode(text), label=label)


PROMPTS = (prompt(0, "1+1="), prompt(1, "7"), prompt(2, "(a*b)+(c*d)="))


class Unjudged:
    """Takes groups as they arrive, and tells of each."""

    def __init__(self) -> None:
        self.arrived: list[int] = []

    async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
        found: list[Group] = []
        async for group in groups:
            self.arrived.append(group.prompt.row)
            found.append(group)
        return sorted(found, key=lambda g: g.prompt.row)


def groups_of(
    engine: RolloutEngine, scorer: protocols.Reward, prompts: Sequence[Prompt], *, stop: frozenset[int] = frozenset()
) -> list[Group]:
    worker = RolloutWorker(engine, TOKENIZER, scorer, stop_token_ids=stop)
    return asyncio.run(worker.groups(prompts, first_key=KEY, num_samples=3, max_new_tokens=6, sampling=PLAIN))


def test_each_prompt_has_its_own_stream_counted_from_the_first_key() -> None:
    groups = groups_of(engine_of(NativeEngine, concurrency=4), Unjudged(), PROMPTS)
    assert [g.prompt for g in groups] == list(PROMPTS)
    for i, group in enumerate(groups):
        asked = request(PROMPTS[i].tokens, key=replace(KEY, group=20 + i), num_samples=3, max_new_tokens=6)
        expected = generate(engine_of(NativeEngine), [asked])
        assert [s.segments[1].tokens for s in group.samples] == [c.tokens for c in expected]
        assert [s.id for s in group.samples] == [SampleId(stage=1, step=3, group=20 + i, sample=n) for n in range(3)]


def test_a_sample_is_a_prompt_that_was_given_and_a_response_that_was_sampled() -> None:
    (group,) = groups_of(engine_of(NativeEngine), Unjudged(), PROMPTS[:1])
    for sample in group.samples:
        given, sampled = sample.segments
        assert (given.tokens, given.is_sampled, given.logprobs, given.versions) == (PROMPTS[0].tokens, False, (), ())
        assert sampled.is_sampled
        assert sampled.versions == (1,) * 6
        assert len(sampled.logprobs) == len(sampled.tokens) == sample.num_response_tokens == 6
        assert sample.text == "".join(ALPHABET[t - 4] for t in sampled.tokens if t >= 4)
        assert (sample.finish, sample.reward) == ("length", None)


def test_a_response_ends_at_the_tokens_that_the_worker_was_given() -> None:
    stop = frozenset(range(20, 37))
    for group in groups_of(engine_of(NativeEngine), Unjudged(), PROMPTS, stop=stop):
        for sample in group.samples:
            tokens = sample.segments[1].tokens
            assert not stop & set(tokens[:-1])
            assert sample.finish == ("stop" if tokens[-1] in stop else "length")


def test_samples_are_judged_by_the_label_of_their_prompt() -> None:
    texts = [[s.text for s in g.samples] for g in groups_of(engine_of(NativeEngine), Unjudged(), PROMPTS)]
    labelled = [replace(p, label=texts[i][i]) for i, p in enumerate(PROMPTS)]
    reward = RewardRunner(Reward(name="exact", level="sample", code=OFF), root=Path())
    for i, group in enumerate(groups_of(engine_of(NativeEngine, concurrency=2), reward, labelled)):
        assert [s.reward for s in group.samples] == [float(text.strip() == texts[i][i].strip()) for text in texts[i]]
        assert group.samples[i].reward == 1


def test_a_group_is_judged_while_others_are_generated() -> None:
    # Weights that are loaded when the first group arrives draw the tokens of the last.
    engine = engine_of(NativeEngine, concurrency=3)

    class Reloading(Unjudged):
        @override
        async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
            found = [await anext(groups)]
            engine.load_weights(iter(weights_of(tiny_model()).items()), version=2)
            return [*found, *await super().score_all(groups)]

    first, *_, last = groups_of(engine, Reloading(), PROMPTS)
    assert {v for s in first.samples for v in s.segments[1].versions} == {1}
    assert {v for s in last.samples for v in s.segments[1].versions} == {2}


def test_a_group_arrives_when_its_last_sample_is_finished() -> None:
    scorer = Unjudged()
    groups_of(engine_of(NativeEngine, concurrency=1), scorer, PROMPTS)
    assert scorer.arrived == [0, 1, 2]


def test_no_prompts_give_no_groups() -> None:
    assert groups_of(engine_of(NativeEngine), Unjudged(), []) == []
