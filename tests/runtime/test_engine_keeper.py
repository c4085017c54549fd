"""Engines that die or hang in the middle of a generation are started anew, and nothing is lost or drawn twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from runtime.engines.rollout.fleet import EngineFleet
from runtime.engines.rollout.fleet_dispatch import FleetEngine, FleetRules
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server_process import ServerProcess
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.faults.engine_keeper import EngineKeeper, EngineRestarts, KeeperRules
from runtime.protocols import Completion
from tests.contract.rollout_engines import engine_of, generate, request, weights_of
from tests.support.native_server import server_process
from tests.support.served_engine import place_of
from tests.support.tiny_model import tiny_model

pytestmark = [pytest.mark.torch, pytest.mark.slow]

RULES = FleetRules(most_ahead=4, most_blocks=1000, most_requeues=2, revival_s=60.0)


@dataclass
class Kept:
    """A server of a tiny model."""

    name: str
    folder: Path
    fault: SpecError | None = None
    servers: list[ServerProcess] = field(default_factory=list)

    def check(self, *, answer_s: float) -> None:
        self.servers[-1].check(answer_s=answer_s)

    def start_anew(self) -> SGLangEngine:
        if self.fault is not None:
            raise self.fault
        if self.servers:
            self.servers[-1].stop()
        self.servers.append(server_process(self.folder))
        self.servers[-1].wait_ready()
        return SGLangEngine(place_of(self.servers[-1].url))

    def strike(self, number: signal.Signals) -> None:
        os.kill(self.servers[-1].pid or 0, number)


@dataclass
class Trainer:
    """What engines get their weights from; `has_moved_on` while it has others than those that the fleet has."""

    has_moved_on: bool = False
    sent: list[int] = field(default_factory=list)

    def resend(self, number: int, engine: FleetEngine) -> bool:
        if not self.has_moved_on:
            self.sent.append(number)
            engine.load_weights(iter(weights_of(tiny_model()).items()), version=1)
        return not self.has_moved_on


@dataclass
class Kit:
    """Two engines, their fleet, and what keeps them."""

    kept: list[Kept]
    trainer: Trainer
    keeper: EngineKeeper
    fleet: EngineFleet
    told: list[str]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)


@pytest.fixture
def make_kit(tmp_path: Path) -> Iterator[Callable[[int], Kit]]:
    made: list[Kit] = []

    def make(most_restarts: int) -> Kit:
        kept = [Kept(f"rollout engine {n}", tmp_path / str(n)) for n in range(2)]
        trainer, told = Trainer(), list[str]()
        rules, restarts = KeeperRules(interval_s=0.05, answer_s=1.0, revival_s=60.0), EngineRestarts(most_restarts)
        keeper = EngineKeeper(dict(enumerate(kept)), rules, restarts, resend=trainer.resend, tell=told.append)
        fleet = EngineFleet([one.start_anew() for one in kept], RULES, when_lost=keeper.lost)
        fleet.load_weights(iter(weights_of(tiny_model()).items()), version=1)
        keeper.watch(fleet)
        made.append(Kit(kept, trainer, keeper, fleet, told))
        return made[-1]

    yield make
    for kit in made:
        kit.keeper.close()
        for one in kit.kept:
            one.servers[-1].stop()


def _generated(kit: Kit, strikes: dict[int, Callable[[], None]]) -> list[Completion]:
    """Generate, and call something when so many responses have come."""
    asked = [request([n, 3], num_samples=4, max_new_tokens=60 + 40 * n) for n in range(6)]

    async def run() -> list[Completion]:
        found: list[Completion] = []
        async with aclosing(kit.fleet.generate(asked)) as completions:
            async for completion in completions:
                found.append(completion)
                strikes.get(len(found), lambda: None)()
        return found

    found = sorted(asyncio.run(run()), key=lambda c: (c.request, c.sample))
    expected = generate(engine_of(NativeEngine, max_context_tokens=1024), asked)
    assert [(c.request, c.sample, c.tokens) for c in found] == [(c.request, c.sample, c.tokens) for c in expected]
    return found


def _there(kit: Kit) -> list[int]:
    return sorted(kit.fleet.engines)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_engines_struck_one_after_the_other_come_back_with_the_weights_and_every_response_arrives_once(
    make_kit: Callable[[int], Kit], number: signal.Signals
) -> None:
    kit = make_kit(2)

    def strike_the_other() -> None:
        kit.wait_until(lambda: len(kit.trainer.sent) == 1 and _there(kit) == [0, 1])
        kit.kept[1].strike(number)

    found = _generated(kit, {3: lambda: kit.kept[0].strike(number), 8: strike_the_other})
    kit.wait_until(lambda: _there(kit) == [0, 1] and kit.trainer.sent == [0, 1])
    assert {version for completion in found for version in completion.versions} == {1}
    code = "RLC0767" if number == signal.SIGSTOP else "RLC07"
    assert [words.startswith(code) for words in kit.told if "of 2 (run.engine_restarts)" in words] == [True, True]
    # What is left of a server that hung is gone.
    assert all(one.servers[0].exit_code is not None for one in kit.kept)


def test_an_engine_waits_for_the_next_weights_where_the_trainer_has_moved_on(make_kit: Callable[[int], Kit]) -> None:
    kit = make_kit(1)
    kit.trainer.has_moved_on = True
    _generated(kit, {3: lambda: kit.kept[0].strike(signal.SIGKILL)})
    kit.wait_until(lambda: any("waits for the next weights" in words for words in kit.told))
    assert _there(kit) == [1]
    assert list(kit.keeper.take_waiting()) == [0]
    assert not kit.keeper.take_waiting()


def test_when_all_restarts_are_used_up_the_call_ends_and_names_the_engine_and_what_it_wrote(
    make_kit: Callable[[int], Kit],
) -> None:
    kit = make_kit(0)
    with pytest.raises(SpecError) as caught:
        _generated(kit, {3: lambda: kit.kept[1].strike(signal.SIGKILL)})
    (found,) = caught.value.diagnostics
    assert found.code == "RLC0782"
    assert found.message.startswith("rollout engine 1 was lost, and all 0 of run.engine_restarts are used up")
    assert (("run.engine_restarts", "1"),) in [way.sets for way in found.help]


def test_an_engine_that_does_not_start_uses_up_its_restarts(make_kit: Callable[[int], Kit]) -> None:
    kit = make_kit(2)
    kit.kept[0].fault = SpecError(Diagnostic("RLC0765", "rollout engine 0 did not start: its port is taken"))
    with pytest.raises(SpecError, match=r"all 2 of run\.engine_restarts .*its port is taken"):
        _generated(kit, {3: lambda: kit.kept[0].strike(signal.SIGKILL)})
