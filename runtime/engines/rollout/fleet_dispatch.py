"""The engines of a fleet that are there, what each has to do, and which one a request goes to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Protocol, runtime_checkable

from compiler.diagnostics.diagnostic import InternalError, SpecError
from runtime.engines.rollout.held_prefixes import HeldPrefixes
from runtime.protocols import GenerationRequest, RolloutEngine

# It does not answer, has died, hangs, or says that it ends.
_MOST_COUNTS: Final = 8  # that are kept of each engine
_LOST: Final = frozenset(("RLC0729", "RLC0766", "RLC0767", "RLC0727"))


@runtime_checkable
class FleetEngine(RolloutEngine, Protocol):
    """An engine that may stand in a fleet."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the order of its responses is a function of the requests."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetRules:
    """How requests are shared out, and how often they are asked again.

    Args:
        most_ahead: responses by which an engine that holds a prompt may be ahead of the idlest one.
        most_blocks: of prompts that are remembered; 0 shares out by what is outstanding alone.
        most_requeues: times that a request is asked again because its engine was lost.
        revival_s: the longest that requests wait for an engine while there is none.
    """

    most_ahead: int
    most_blocks: int
    most_requeues: int
    revival_s: float


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """An engine at its place; one that was started anew at the same place is another member."""

    number: int
    engine: FleetEngine


class Dispatch:
    """Chooses engines, and keeps count.

    Args:
        when_lost: told the number of an engine that was lost, and the error that said so; once for each loss.
    """

    def __init__(
        self, engines: Sequence[FleetEngine], rules: FleetRules, *, when_lost: Callable[[int, SpecError], None]
    ) -> None:
        self.rules = rules
        self.num_requeued = self.num_lost = self.num_changes = 0
        self.end: SpecError | None = None
        self._num_places = len(engines)
        self._when_lost = when_lost
        self._members = {number: Member(number, engine) for number, engine in enumerate(engines)}
        self._outstanding = dict.fromkeys(self._members, 0)
        self._prefixes = HeldPrefixes(most_blocks=rules.most_blocks)
        # Counts of responses that are or were outstanding, the least first: what is no longer so is passed over.
        self._idle: list[tuple[int, int]] = []
        self._is_repeatable = self._are_repeatable()
        # Whoever watches engines is another thread than the one that asks them.
        self._changing = threading.RLock()

    @property
    def engines(self) -> Mapping[int, FleetEngine]:
        """Those that are there, by number."""
        return {number: member.engine for number, member in sorted(self._members.items())}

    @property
    def is_repeatable(self) -> bool:
        """Whether the order of responses is a function of the requests."""
        return self._is_repeatable

    def is_there(self, member: Member) -> bool:
        """Whether a member has not been lost."""
        return self._members.get(member.number) is member

    def choose(self, request: GenerationRequest) -> Member | None:
        """Return who is to answer a request, and count it as theirs; None while nobody is there."""
        with self._changing:
            if not self._members:
                return None
            idlest = self._idlest()
            held = self._prefixes.find(request.tokens)
            most = self._outstanding[idlest] + self.rules.most_ahead
            number = held if held in self._members and self._outstanding[held] <= most else idlest
            self._count(number, request.num_samples)
            if request.keeps_prefix:
                self._prefixes.note(request.tokens, number)
            return self._members[number]

    def note_end(self, member: Member, tokens: Sequence[int], *, num_samples: int = 1) -> None:
        """Take note that responses are outstanding no longer, and that an engine holds these tokens."""
        with self._changing:
            if self.is_there(member):
                self._count(member.number, -num_samples)
                self._prefixes.note(tokens, member.number)

    def _idlest(self) -> int:
        while self._idle:
            count, number = self._idle[0]
            if number in self._members and self._outstanding[number] == count:
                return number
            heappop(self._idle)
        self._idle = [(self._outstanding[number], number) for number in self._members]
        heapify(self._idle)
        return self._idle[0][1]

    def _count(self, number: int, more: int) -> None:
        self._outstanding[number] += more
        if len(self._idle) > _MOST_COUNTS * self._num_places:
            self._idle.clear()
        elif self._idle:  # else all are counted when somebody asks
            heappush(self._idle, (self._outstanding[number], number))

    def _are_repeatable(self) -> bool:
        return all(member.engine.is_repeatable for member in self._members.values())

    def lose(self, member: Member, fault: SpecError) -> None:
        """Choose a member no more; a second time does nothing."""
        with self._changing:
            if not self.is_there(member):
                return
            del self._members[member.number]
            self._prefixes.forget(member.number)
            self.num_lost += 1
            self._note_change()
        self._when_lost(member.number, fault)

    def lose_number(self, number: int, fault: SpecError) -> None:
        """Choose an engine no more, which somebody else has found dead or hanging."""
        member = self._members.get(number)
        if member is not None:
            self.lose(member, fault)

    def put_back(self, number: int, engine: FleetEngine) -> None:
        """Choose again an engine that was started anew and has its weights."""
        if not 0 <= number < self._num_places:
            raise InternalError(f"there is no engine {number} in a fleet of {self._num_places}")
        # Whoever was there is another process, and what it had is asked of others.
        with self._changing:
            self._prefixes.forget(number)
            self._outstanding[number] = 0
            self._members[number] = Member(number, engine)
            self._note_change()

    def _note_change(self) -> None:
        self.num_changes += 1
        self._idle.clear()
        self._is_repeatable = self._are_repeatable()


def is_loss(fault: SpecError) -> bool:
    """Whether an error says that an engine is gone or silent, and not that it refuses something."""
    return any(diagnostic.code in _LOST for diagnostic in fault.diagnostics)
