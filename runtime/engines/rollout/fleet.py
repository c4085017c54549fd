"""Several rollout engines as one: requests are shared out, and what an engine takes with it when it dies is asked for.

Each request goes whole to one engine, which computes its prompt once for all samples: to the one that was last given
the longest beginning of its prompt, and otherwise, or where that one is ahead of the idlest by more than `most_ahead`
responses, to the one with the fewest responses outstanding.

An engine that is gone or silent (RLC0729, RLC0766, RLC0767), or says that it ends (RLC0727), is given nothing any more
until `put_back`.  Of its requests, the samples that had not arrived are asked of others, each request at most
`most_requeues` times: one that takes its engine with it must not take all of them.  No sample arrives twice, and none
is left out.

Responses come in an order that follows from the requests where every engine is repeatable, and otherwise as they
arrive.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import InternalError, SpecError
from runtime.engines.rollout.fleet_dispatch import Dispatch, FleetEngine, FleetRules, is_loss
from runtime.engines.rollout.fleet_generation import FleetGeneration
from runtime.engines.rollout.weights_to_all import load_into_all
from runtime.protocols import Completion, GenerationRequest

if TYPE_CHECKING:
    from torch import Tensor


class EngineFleet:
    """Generates on several engines; `lose` and `put_back` may be called by any thread.

    Args:
        when_lost: told the number of an engine that was lost, and the error that said so; once for each loss.
    """

    def __init__(
        self, engines: Sequence[FleetEngine], rules: FleetRules, *, when_lost: Callable[[int, SpecError], None]
    ) -> None:
        self._dispatch = Dispatch(engines, rules, when_lost=when_lost)

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[Completion]:
        """Yield each response as soon as it is finished.  Raises: as `FleetGeneration`."""
        generation = self.begin()
        generation.submit(requests)
        try:
            while (completion := await generation.next()) is not None:
                yield completion
        finally:
            generation.abort()

    def begin(self) -> FleetGeneration:
        """Return a generation without requests."""
        return FleetGeneration(self._dispatch)

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Give weights to every engine that is there; one that is gone is lost.

        Raises: SpecError of the first engine that refuses them, or, where none is left, of the last that was lost.
        """
        faults = load_into_all(self._dispatch.engines, tensors, version=version)
        for number, fault in faults.items():
            if not is_loss(fault):
                raise fault
            self.lose(number, fault)
        if faults and not self._dispatch.engines:
            raise faults[max(faults)]

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of the first engine that is there.  Raises: what it raises."""
        engines = self._dispatch.engines
        if not engines:
            raise InternalError("no engine of the fleet is left")
        return engines[min(engines)].weights()

    def counters(self) -> Mapping[str, int]:
        """Return how many engines were lost, and how many requests were asked again."""
        return {"lost_engines": self._dispatch.num_lost, "requeued_requests": self._dispatch.num_requeued}

    @property
    def engines(self) -> Mapping[int, FleetEngine]:
        """Those that are there, by number."""
        return self._dispatch.engines

    def lose(self, number: int, fault: SpecError) -> None:
        """Give nothing more to an engine that somebody has found dead or hanging, and ask others for what it had."""
        self._dispatch.lose_number(number, fault)

    def put_back(self, number: int, engine: FleetEngine) -> None:
        """Give requests again to an engine that was started anew and has its weights."""
        self._dispatch.put_back(number, engine)

    def give_up(self, fault: SpecError) -> None:
        """End what is under way, and whatever is asked from now on, with this."""
        self._dispatch.end = fault

    @property
    def is_repeatable(self) -> bool:
        """Whether the order of responses is a function of the requests."""
        return self._dispatch.is_repeatable
