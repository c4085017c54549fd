"""Groups under way, through a real engine: broken off, resumed, and whole in the end.

Oracle: the same groups sampled by the rollout worker without interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from torch import Tensor

from compiler.ir.rollout import Sampling
from runtime.buffer.flight import Flight, fresh_group
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.protocols import DrawKey
from runtime.rollouts import RolloutWorker
from stdlib.samples import Group, SampleId
from tests.contract.rollout_engines import GREEDY, PLAIN, engine_of, generate, request, weights_of
from tests.runtime.engines.tiny_trainer import tiny_families
from tests.runtime.test_rollout_worker import MODEL, PROMPTS, TOKENIZER, Unjudged

pytestmark = pytest.mark.torch

MOST, SAMPLES = 40, 3
ROUTED = tiny_families()["qwen3_moe"].replacing(tokenizer=MODEL.tokenizer)
FIRST = SampleId(stage=1, step=3, group=20, sample=0)
END = frozenset({TOKENIZER.eos_token_id, 7})


def worker_of(engine: NativeEngine) -> RolloutWorker:
    return RolloutWorker(engine, TOKENIZER, Unjudged(), stop_token_ids=END)


def engine(*, version: int = 3, concurrency: int = 4) -> NativeEngine:
    found = engine_of(NativeEngine, MODEL, concurrency=concurrency)
    assert isinstance(found, NativeEngine)
    found.load_weights(iter(weights_of(MODEL).items()), version=version)
    return found


def fresh() -> list[Group]:
    return [
        fresh_group(
            prompt, first=SampleId(stage=FIRST.stage, step=FIRST.step, group=20 + i, sample=0), num_samples=SAMPLES
        )
        for i, prompt in enumerate(PROMPTS)
    ]


def flight_of(worker: RolloutWorker, sampling: Sampling = PLAIN) -> Flight:
    return Flight(worker, sampling=sampling, max_response_tokens=MOST, seed=5)


def uninterrupted(sampling: Sampling = PLAIN) -> list[Group]:
    key = DrawKey(seed=5, stage=FIRST.stage, step=FIRST.step, group=20)
    return asyncio.run(
        worker_of(engine()).groups(PROMPTS, first_key=key, num_samples=SAMPLES, max_new_tokens=MOST, sampling=sampling)
    )


async def landed(flight: Flight) -> list[Group]:
    found: list[Group] = []
    while (group := await flight.next()) is not None:
        found.append(group)
    return found


def flown(worker: RolloutWorker, groups: Sequence[Group], *, num_groups: int) -> tuple[list[Group], list[Group]]:
    """Sample until some groups are finished; return those that are, and those that are not."""

    async def run() -> tuple[list[Group], list[Group]]:
        flight = flight_of(worker)
        flight.submit(groups)
        found = [await flight.next() for _ in range(num_groups)]
        more, left = flight.abort()
        return [*(group for group in found if group is not None), *more], left

    return asyncio.run(run())


def ordered(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: group.samples[0].id.group)


def told(groups: Sequence[Group]) -> list[tuple[SampleId, tuple[int, ...], str, str]]:
    return [(s.id, s.segments[-1].tokens, s.text, s.finish) for group in ordered(groups) for s in group.samples]


@pytest.mark.parametrize("sampling", [PLAIN, GREEDY], ids=["sampled", "greedy"])
def test_groups_that_nobody_breaks_off_are_those_of_the_worker(sampling: Sampling) -> None:
    async def run() -> list[Group]:
        flight = flight_of(worker_of(engine()), sampling)
        flight.submit(fresh())
        return await landed(flight)

    assert told(asyncio.run(run())) == told(uninterrupted(sampling))


@pytest.mark.parametrize("num_groups", [0, 1, 2])
def test_groups_that_are_broken_off_and_resumed_are_those_that_never_were(num_groups: int) -> None:
    worker = worker_of(engine())
    finished, left = flown(worker, fresh(), num_groups=num_groups)
    assert len(finished) >= num_groups
    resumed, nothing = flown(worker, left, num_groups=len(left))
    assert nothing == []
    assert told([*finished, *resumed]) == told(uninterrupted())


def test_responses_broken_off_again_and_again_end_all_the_same() -> None:
    async def run() -> list[Group]:
        worker, waiting, found, rounds = worker_of(engine()), fresh(), list[Group](), 0
        while waiting:
            flight = flight_of(worker)
            flight.submit(waiting)
            # One batch of the engine's steps, and no further.
            group = await flight.next() if rounds % 3 == 2 else None
            more, waiting = flight.abort()
            found += [*([group] if group is not None else []), *more]
            rounds += 1
        return found

    assert told(asyncio.run(run())) == told(uninterrupted())


def test_each_token_of_a_resumed_sample_has_the_version_that_drew_it() -> None:
    native = engine(version=3)
    finished, left = flown(worker_of(native), fresh(), num_groups=1)
    num_before = {s.id: s.num_response_tokens for group in left for s in group.samples}
    num_done = {s.id for group in left for s in group.samples if s.finish != "abort"}
    native.load_weights(iter(weights_of(MODEL, seed=1).items()), version=4)
    resumed, _ = flown(worker_of(native), left, num_groups=len(left))
    mixed = 0
    for sample in (s for group in resumed for s in group.samples):
        before, (prompt, response) = num_before[sample.id], sample.segments
        after = 0 if sample.id in num_done else len(response.tokens) - before
        assert response.versions == (3,) * before + (4,) * after
        assert len(response.logprobs) == len(response.tokens) <= MOST
        assert (prompt.is_sampled, prompt.versions) == (False, ())
        assert sample.text == TOKENIZER.decode(response.tokens)
        mixed += before > 0 and after > 0
    assert mixed > 0
    assert all(set(s.segments[-1].versions) == {3} for group in finished for s in group.samples)


def test_what_is_brought_along_is_counted_apart_from_what_is_drawn() -> None:
    worker = worker_of(engine())
    _, left = flown(worker, fresh(), num_groups=1)
    begun = [s for group in left for s in group.samples if s.finish == "abort" and s.num_response_tokens]

    async def run() -> tuple[Flight, list[Group]]:
        flight = flight_of(worker)
        flight.submit(left)
        return flight, await landed(flight)

    flight, groups = asyncio.run(run())
    assert flight.num_resumed_samples == len(begun) > 0
    assert flight.num_resumed_tokens == sum(s.num_response_tokens for s in begun)
    total = sum(s.num_response_tokens for group in groups for s in group.samples)
    assert flight.num_sampled_tokens == total - sum(s.num_response_tokens for group in left for s in group.samples)
    assert flight.num_under_way == 0


def routed_engine(*, concurrency: int = 4, seed: int = 0) -> NativeEngine:
    found = NativeEngine(ROUTED, concurrency=concurrency, max_context_tokens=128, returns_experts=True)
    found.load_weights(iter(weights_of(ROUTED, seed=seed).items()), version=3)
    return found


def test_experts_of_a_resumed_sample_are_those_of_the_passes_that_drew_it() -> None:
    native = routed_engine()
    finished, left = flown(worker_of(native), fresh(), num_groups=1)
    begun = {s.id: s for group in left for s in group.samples if s.finish == "abort" and s.num_response_tokens}
    native.load_weights(iter(weights_of(ROUTED, seed=1).items()), version=4)
    resumed, _ = flown(worker_of(native), left, num_groups=len(left))
    assert begun
    differ = 0
    for sample in (s for group in [*finished, *resumed] for s in group.samples):
        tokens = [token for segment in sample.segments for token in segment.tokens]
        assert sample.expert_ids is not None
        ids_TLC = sample.expert_ids.ids_TLC
        assert ids_TLC.shape == (len(tokens) - 1, 2, 2)
        if sample.id in begun:
            # Oracle: the whole as a prompt, under the weights that drew the first part and under those that went on.
            before, after = visited(tokens, seed=0), visited(tokens, seed=1)
            first_part = begun[sample.id].expert_ids
            assert first_part is not None
            num_before = first_part.ids_TLC.shape[0]
            assert num_before == len(sample.prompt.tokens) + begun[sample.id].num_response_tokens - 1
            assert ids_TLC[:num_before].equal(before[:num_before])
            assert ids_TLC[num_before:].equal(after[num_before:])
            differ += not before.equal(after)
    assert differ > 0


def visited(tokens: Sequence[int], *, seed: int) -> Tensor:
    (found,) = generate(routed_engine(seed=seed), [request(tokens, max_new_tokens=1)])
    assert found.expert_ids is not None
    return found.expert_ids.ids_TLC[:-1]
