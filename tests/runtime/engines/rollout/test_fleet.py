"""Several engines as one: who is asked, and what becomes of requests whose engine dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from runtime.engines.rollout.fleet import EngineFleet
from runtime.engines.rollout.fleet_dispatch import FleetEngine, FleetRules
from runtime.engines.rollout.held_prefixes import HeldPrefixes
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server_process import ServerProcess
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.protocols import Completion, GenerationRequest
from tests.contract.rollout_engines import engine_of, generate, mixed_requests, request, weights_of
from tests.support.native_server import server_process
from tests.support.served_engine import place_of, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

RULES = FleetRules(most_ahead=4, most_blocks=1000, most_requeues=1, revival_s=0.3)
Losses = list[tuple[int, str]]


def fleet_of(engines: Sequence[FleetEngine], losses: Losses | None = None, rules: FleetRules = RULES) -> EngineFleet:
    told: Losses = [] if losses is None else losses
    return EngineFleet(engines, rules, when_lost=lambda n, fault: told.append((n, fault.diagnostics[0].code)))


@dataclass
class Echo:
    """An engine that answers each request with its own number, when it is let; or that is gone."""

    number: int
    fault: SpecError | None = None
    is_held: bool = False
    is_repeatable: bool = False
    asked: list[GenerationRequest] = field(default_factory=list)
    num_aborted: int = 0
    version: int = 0

    def begin(self) -> EchoGeneration:
        return EchoGeneration(self)

    def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        raise NotImplementedError

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        for _ in tensors:
            if self.fault is not None:
                raise self.fault
        self.version = version

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        yield "number", torch.tensor(self.number)


class EchoGeneration:
    def __init__(self, engine: Echo) -> None:
        self.engine = engine
        self.left: list[tuple[int, int]] = []
        self.num = 0

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        if self.engine.fault is not None:
            raise self.engine.fault
        for asked in requests:
            self.engine.asked.append(asked)
            self.left += [(self.num, sample) for sample in range(asked.num_samples)]
            self.num += 1

    async def next(self) -> Completion | None:
        while self.engine.is_held and self.engine.fault is None:
            await asyncio.sleep(0)
        if self.engine.fault is not None:
            raise self.engine.fault
        return self.completion(*self.left.pop(0)) if self.left else None

    def abort(self) -> list[Completion]:
        self.engine.num_aborted += 1
        left, self.left = self.left, list[tuple[int, int]]()
        return [replace(self.completion(*place), finish="abort") for place in left]

    def completion(self, idx: int, sample: int) -> Completion:
        return Completion(
            request=idx,
            sample=sample,
            tokens=(self.engine.number,),
            logprobs=(0.0,),
            versions=(self.engine.version,),
            finish="stop",
        )


def gone(code: str = "RLC0729") -> SpecError:
    return SpecError(Diagnostic(code, "it is gone"))


def places(completions: Sequence[Completion]) -> list[tuple[int, int, int]]:
    return sorted((c.request, c.sample, c.tokens[0]) for c in completions)


def test_requests_go_to_the_engine_with_the_fewest_responses_outstanding() -> None:
    found = generate(fleet_of([Echo(0), Echo(1)]), [request([n], num_samples=k) for n, k in enumerate((3, 1, 1, 2))])
    assert places(found) == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 1), (2, 0, 1), (3, 0, 1), (3, 1, 1)]


def test_a_prompt_goes_where_its_beginning_went_unless_that_engine_is_far_ahead() -> None:
    engines = [Echo(0), Echo(1)]
    fleet = fleet_of(engines)
    turn, other = tuple(range(64)), tuple(range(100, 164))
    assert [c.tokens[0] for c in generate(fleet, [request(turn), request(other)])] == [0, 1]
    later = [request((*other, 7)), request((*turn, 7)), request((*other, 8))]
    assert [c.tokens[0] for c in generate(fleet, later)] == [1, 0, 1]
    crowd = [request((*other, 7, n)) for n in range(7)]
    assert [c.tokens[0] for c in generate(fleet, crowd)] == [1, 1, 1, 1, 1, 0, 0]


def test_only_whole_blocks_that_begin_alike_are_the_same_prompt() -> None:
    held = HeldPrefixes(most_blocks=4)
    held.note(range(70), 3)
    assert held.find(range(64)) == held.find([*range(32), *range(50)]) == 3
    assert held.find(range(31)) is held.find(range(1, 65)) is None
    held.note([*range(32), *range(7, 39)], 5)
    assert held.find([*range(32), *range(7, 39)]) == 5
    held.forget(5)
    assert held.find(range(64)) is None
    held.note(range(500, 640), 1)
    assert held.find(range(64)) is None


def test_what_an_engine_takes_with_it_is_asked_once_more_and_arrives_once() -> None:
    losses: Losses = []
    engines = [Echo(0), Echo(1)]
    fleet = fleet_of(engines, losses)
    asked = [request([1], num_samples=5, first_sample=2), request([2], num_samples=2)]

    async def run() -> list[Completion]:
        generation, found = fleet.begin(), list[Completion]()
        generation.submit(asked)
        while (completion := await generation.next()) is not None:
            found.append(completion)
            if len([c for c in found if c.request == 0]) == 2:
                engines[0].fault = gone()
        return found

    found = places(asyncio.run(run()))
    assert [place[:2] for place in found] == [*((0, n) for n in range(5)), (1, 0), (1, 1)]
    assert {place[2] for place in found if place[0] == 1} == {1}
    again = [(r.first_sample, r.num_samples) for r in engines[1].asked[1:]]
    lost = 5 - sum(place[2] == 0 for place in found)
    assert again == [(2 + 5 - lost, lost)]
    assert losses == [(0, "RLC0729")]
    assert fleet.counters() == {"lost_engines": 1, "requeued_requests": 1}
    assert list(fleet.engines) == [1]


def test_a_request_that_is_lost_too_often_ends_the_call() -> None:
    engines = [Echo(0, is_held=True), Echo(1, is_held=True)]

    async def run() -> None:
        generation = fleet_of(engines).begin()
        generation.submit([request([1]), request([2])])
        engines[0].fault = gone("RLC0766")
        asyncio.get_running_loop().call_later(0.3, setattr, engines[1], "fault", gone("RLC0766"))
        while await generation.next():
            pass

    with pytest.raises(SpecError, match=r"RLC0766: request 0 was lost 2 times, each time with its engine.*gone"):
        asyncio.run(run())


def test_an_engine_that_is_gone_before_it_takes_a_request_is_passed_over() -> None:
    losses: Losses = []
    engines = [Echo(0, fault=gone()), Echo(1, fault=gone()), Echo(2)]
    found = generate(fleet_of(engines, losses), [request([1]), request([2])])
    assert places(found) == [(0, 0, 2), (1, 0, 2)]
    assert losses == [(0, "RLC0729"), (1, "RLC0729")]


def test_without_an_engine_requests_wait_for_one_that_is_put_back_and_not_for_ever() -> None:
    fleet = fleet_of([Echo(0, fault=gone())])

    async def run() -> list[Completion]:
        generation = fleet.begin()
        generation.submit([request([1])])
        asyncio.get_running_loop().call_later(0.05, fleet.put_back, 0, Echo(0))
        first = await generation.next()
        fleet.lose(0, gone("RLC0767"))
        generation.submit([request([2])])
        with pytest.raises(SpecError, match="RLC0729"):
            await generation.next()
        return [first] if first is not None else []

    assert places(asyncio.run(run())) == [(0, 0, 0)]


def test_an_engine_that_others_found_hanging_is_not_waited_for() -> None:
    engines = [Echo(0, is_held=True), Echo(1)]
    fleet = fleet_of(engines)

    async def run() -> list[Completion]:
        generation, found = fleet.begin(), list[Completion]()
        generation.submit([request([1]), request([2])])
        asyncio.get_running_loop().call_later(0.05, fleet.lose, 0, gone("RLC0767"))
        while (completion := await generation.next()) is not None:
            found.append(completion)
        assert generation.abort() == []
        return found

    assert places(asyncio.run(run())) == [(0, 0, 1), (1, 0, 1)]
    assert engines[0].num_aborted == 0


def test_a_request_that_is_refused_ends_the_call_and_none_of_its_fellows_is_answered() -> None:
    engines = [Echo(0), Echo(1, fault=gone("RLC0631"))]
    fleet = fleet_of(engines)

    async def run() -> list[Completion | None]:
        generation = fleet.begin()
        with pytest.raises(SpecError, match="RLC0631"):
            generation.submit([request([1]), request([2])])
        engines[1].fault = None
        generation.submit([request([3], num_samples=1)])
        return [await generation.next(), await generation.next()]

    found, none = asyncio.run(run())
    assert none is None
    assert found is not None
    assert (found.request, found.tokens) == (0, (1,))


def test_what_is_broken_off_comes_from_all_engines_once() -> None:
    engines = [Echo(0), Echo(1, is_held=True)]
    fleet = fleet_of(engines)

    async def run() -> tuple[Completion | None, list[Completion]]:
        generation = fleet.begin()
        generation.submit([request([1], num_samples=2), request([2], num_samples=2)])
        first = await generation.next()
        left = generation.abort()
        assert await generation.next() is None
        return first, left

    first, left = asyncio.run(run())
    assert first is not None
    assert (first.request, first.sample) == (0, 0)
    assert places(left) == [(0, 1, 0), (1, 0, 1), (1, 1, 1)]


def test_weights_are_read_once_and_given_to_all() -> None:
    losses: Losses = []
    engines = [Echo(0), Echo(1), Echo(2, fault=gone())]
    fleet, num_read = fleet_of(engines, losses), 0

    def tensors() -> Iterator[tuple[str, Tensor]]:
        nonlocal num_read
        for n in range(50):
            num_read += 1
            yield str(n), torch.tensor(n)

    fleet.load_weights(tensors(), version=7)
    assert num_read == 50
    assert [engine.version for engine in engines] == [7, 7, 0]
    assert losses == [(2, "RLC0729")]
    assert dict(fleet.weights()) == {"number": torch.tensor(0)}


def test_weights_that_an_engine_refuses_are_an_error_and_so_is_a_trainer_that_fails() -> None:
    with pytest.raises(SpecError, match="RLC0633"):
        fleet_of([Echo(0), Echo(1, fault=gone("RLC0633"))]).load_weights(iter([("a", torch.ones(1))]), version=2)

    def interrupted() -> Iterator[tuple[str, Tensor]]:
        yield "a", torch.ones(1)
        raise OSError("the trainer has gone")

    engine = Echo(0)
    with pytest.raises(OSError, match="has gone"):
        fleet_of([engine]).load_weights(interrupted(), version=2)
    assert engine.version == 0


def test_a_fleet_of_servers_draws_what_one_engine_draws_and_in_the_same_order_each_time() -> None:
    asked = mixed_requests()

    def drawn() -> list[Completion]:
        with ExitStack() as stack:
            urls = [stack.enter_context(serving(tiny_model())).url for _ in range(3)]
            fleet = fleet_of([SGLangEngine(place_of(url)) for url in urls])
            fleet.load_weights(iter(weights_of(tiny_model()).items()), version=1)

            async def run() -> list[Completion]:
                generation, found = fleet.begin(), list[Completion]()
                generation.submit(asked)
                for _ in range(6):
                    completion = await generation.next()
                    assert completion is not None
                    found.append(completion)
                return [*found, *generation.abort()]

            return asyncio.run(run())

    first, second = drawn(), drawn()
    assert first == second
    assert any(c.finish == "abort" for c in first)
    alone = {(c.request, c.sample): c for c in generate(engine_of(NativeEngine), asked)}
    for completion in first:
        assert completion.tokens == alone[completion.request, completion.sample].tokens[: len(completion.tokens)]


@pytest.fixture(scope="module")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ServerProcess]]:
    """Start servers in processes of their own, which end with the module."""
    started: list[ServerProcess] = []

    def make() -> ServerProcess:
        started.append(server_process(tmp_path_factory.mktemp("server")))
        return started[-1]

    yield make
    for server in started:
        server.stop()


def client_with_weights(server: ServerProcess) -> SGLangEngine:
    server.wait_ready()
    client = SGLangEngine(place_of(server.url))
    client.load_weights(iter(weights_of(tiny_model()).items()), version=1)
    return client


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_servers_that_die_or_hang_one_after_the_other_lose_nothing(
    make_server: Callable[[], ServerProcess], number: signal.Signals
) -> None:
    asked = [request([n, 3], num_samples=4, max_new_tokens=60 + 40 * n) for n in range(6)]
    *servers, spare = [make_server() for _ in range(3)]
    losses: Losses = []
    fleet = fleet_of([client_with_weights(server) for server in servers], losses, replace(RULES, most_requeues=2))
    restarted = client_with_weights(spare)

    def harm(idx: int) -> None:
        os.kill(servers[idx].pid or 0, number)
        if number == signal.SIGSTOP:
            with pytest.raises(SpecError, match="RLC0767") as fault:
                servers[idx].check(answer_s=0.3)
            fleet.lose(idx, fault.value)

    async def run() -> list[Completion]:
        generation, found = fleet.begin(), list[Completion]()
        generation.submit(asked)
        while (completion := await generation.next()) is not None:
            found.append(completion)
            if len(found) == 3:
                harm(0)
            if len(losses) == 1 and 0 not in fleet.engines:
                fleet.put_back(0, restarted)
                harm(1)
        return found

    found = sorted(asyncio.run(run()), key=lambda c: (c.request, c.sample))
    assert [number for number, _ in losses] == [0, 1]
    expected = generate(engine_of(NativeEngine, max_context_tokens=1024), asked)
    assert [(c.request, c.sample, c.tokens) for c in found] == [(c.request, c.sample, c.tokens) for c in expected]
