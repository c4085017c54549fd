"""Keeps the engines of a fleet alive: looks after each, ends one that hangs, and starts anew whichever was lost.

An engine that was started anew has no weights.  It is given those that the fleet generates with, if the trainer still
has them, and takes requests again as soon as it says that version; if the trainer has moved on, it waits for the next
weights that all engines get.  The others go on meanwhile, and what the lost one had is asked of them (fleet.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.engines.rollout.fleet import EngineFleet
from runtime.engines.rollout.fleet_dispatch import FleetEngine

_MOST_AT_ONCE: Final = 32
_LOOK_EVERY_S: Final = 0.1


class KeptEngine(Protocol):
    """The process behind one place of a fleet; every method is called by threads of the keeper."""

    @property
    def name(self) -> str:
        """What it is called, such as `rollout engine 3`."""
        ...

    def check(self, *, answer_s: float) -> None:
        """Look whether it is well.  Raises: SpecError RLC0766 if it has ended, RLC0767 if it does not answer."""
        ...

    def start_anew(self) -> FleetEngine:
        """End it for certain, with all that it has started, and start it again; return when it can take weights.

        Raises: SpecError RLC0762 to RLC0767 if it does not start.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class KeeperRules:
    """What `run` of a plan says.

    Args:
        interval_s: between two looks at an engine.
        answer_s: the longest that an engine which is well takes to say so.
        revival_s: the longest that weights wait for an engine while there is none.
    """

    interval_s: float
    answer_s: float
    revival_s: float


class EngineRestarts:
    """The restarts of engines, of which there are `most`."""

    def __init__(self, most: int) -> None:
        self.most, self.num_taken = most, 0

    def take(self) -> bool:
        """Use one up, and return whether there was one."""
        has_one = self.num_taken < self.most
        self.num_taken += has_one
        return has_one


class EngineKeeper:
    """Keeps engines from `watch` until `close`.

    Args:
        resend: gives an engine the weights that the fleet generates with, and returns whether it has got them: not if
            the trainer has others by now.
        tell: told what happened, for people to read.
    """

    def __init__(
        self,
        engines: Mapping[int, KeptEngine],
        rules: KeeperRules,
        restarts: EngineRestarts,
        *,
        resend: Callable[[int, FleetEngine], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._engines, self._rules, self._resend, self._tell = engines, rules, resend, tell
        self._fleet: EngineFleet | None = None
        self._restarts = restarts
        # Held while weights are sent: an engine is put back with those of all, or not at all.
        self.weights = threading.RLock()
        self._waiting: dict[int, FleetEngine] = {}
        self._count = threading.Lock()
        self._given_up: SpecError | None = None
        self._is_over = threading.Event()
        self._threads = ThreadPoolExecutor(min(_MOST_AT_ONCE, 2 * len(engines)), "engine keeper")
        self._watch = threading.Thread(target=self._look_again_and_again, name="engine watch", daemon=True)

    def watch(self, fleet: EngineFleet) -> None:
        """Begin; the fleet has to be made with `lost` of this as its `when_lost`."""
        self._fleet = fleet
        self._watch.start()

    def lost(self, number: int, fault: SpecError) -> None:
        """Start an engine anew that the fleet has lost."""
        if not self._is_over.is_set():
            self._threads.submit(self._start_anew, number, fault)

    def take_waiting(self) -> Mapping[int, FleetEngine]:
        """Return the engines that wait for the next weights; whoever takes them holds `weights` and puts them back."""
        with self.weights:
            taken = dict(self._waiting)
            self._waiting.clear()
        return taken

    def wait_for_one(self) -> None:
        """Return when there is an engine that weights can be sent to.

        Raises: SpecError RLC0729 if none comes in time, RLC0782 if none is started any more.
        """
        assert self._fleet is not None, "the watch begins with a fleet"
        deadline = time.monotonic() + self._rules.revival_s
        while not self._waiting and not self._fleet.engines:
            if self._given_up is not None:
                raise self._given_up
            if time.monotonic() > deadline:
                fact = f"no rollout engine came back within {self._rules.revival_s:g} s, and weights wait for one"
                raise SpecError(Diagnostic("RLC0729", fact))
            time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Look no more, and start nothing any more; what is being started may still be."""
        self._is_over.set()
        if self._watch.ident is not None:
            self._watch.join()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _look_again_and_again(self) -> None:
        assert self._fleet is not None, "the watch begins with a fleet"
        while not self._is_over.wait(self._rules.interval_s):
            there = self._fleet.engines
            # One that hangs is waited for by a thread of its own: the others are looked at meanwhile.
            for number, look in [(number, self._threads.submit(self._look, number)) for number in there]:
                fault = look.result()
                if fault is not None and self._fleet.engines.get(number) is there[number]:
                    self._fleet.lose(number, fault)

    def _look(self, number: int) -> SpecError | None:
        try:
            self._engines[number].check(answer_s=self._rules.answer_s)
        except SpecError as fault:
            return fault
        return None

    def _start_anew(self, number: int, fault: SpecError) -> None:
        assert self._fleet is not None, "the watch begins with a fleet"
        while not self._is_over.is_set():
            if not self._may_restart(number, fault):
                return
            try:
                engine = self._engines[number].start_anew()
                with self.weights:
                    has_weights = self._resend(number, engine)
                    if has_weights:
                        self._fleet.put_back(number, engine)
                    else:
                        self._waiting[number] = engine
            except SpecError as again:
                fault = again
                continue
            then = "and generates again" if has_weights else "and waits for the next weights"
            self._tell(f"{self._engines[number].name} was started anew, {then}")
            return

    def _may_restart(self, number: int, fault: SpecError) -> bool:
        """Use up a restart; where there is none any more, give the fleet up."""
        assert self._fleet is not None, "the watch begins with a fleet"
        first, name, most = fault.diagnostics[0], self._engines[number].name, self._restarts.most
        with self._count:
            if not self._restarts.take():
                self._given_up = SpecError(_used_up(name, most, first))
                self._fleet.give_up(self._given_up)
                return False
            taken = self._restarts.num_taken
        self._tell(f"{first.code}: restart {taken} of {most} (run.engine_restarts) of {name}: {first.message}")
        return True


def _used_up(name: str, most: int, last: Diagnostic) -> Diagnostic:
    fact = f"{name} was lost, and all {most} of run.engine_restarts are used up; the last time: {last.message}"
    more = Help("or allow more restarts", (("run.engine_restarts", str(max(1, 2 * most))),))
    return Diagnostic("RLC0782", fact, help=(*last.help, more), paths=("run.engine_restarts",))
