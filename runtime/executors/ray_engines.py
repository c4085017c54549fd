"""A rollout engine of a plan on Ray: the actor that starts its server, and the server, both of which may be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from runtime.executors.waits import Wait, limited

if TYPE_CHECKING:
    from runtime.engines.rollout.sglang import SGLangEngine
    from runtime.executors.planned_server import PlannedServer
    from runtime.executors.ray_actor import Actor

# The actor is asked to ask the server; it has this long to say that the server did not answer.
_LATE_S: Final = 5.0


class RayEngine:
    """Implements runtime.faults.engine_keeper.KeptEngine.

    Args:
        make: starts the actor.
        asked: what the actor is to start.
        wait: the longest that a server may take to be ready.
        client_of: returns a client of the server at an address.
    """

    def __init__(
        self, make: Callable[[], Actor], asked: PlannedServer, wait: Wait, client_of: Callable[[str], SGLangEngine]
    ) -> None:
        self._make, self._asked, self._wait, self._client_of = make, asked, wait, client_of
        self.actor = make()
        self.name = self.actor.name

    def serves(self, asked: PlannedServer) -> None:
        """Let it start something else from now on: another stage."""
        self._asked = asked

    def begins(self) -> Any:
        """Have the actor start the server, and return what stands for its address."""
        return self.actor.begins("begin", self._asked)

    def check(self, *, answer_s: float) -> None:
        """Look whether actor and server are well.

        Raises: SpecError RLC0762 or RLC0766 if one of them has ended, RLC0767 if one of them does not answer.
        """
        wait = limited(answer_s + _LATE_S, "run.health_timeout_s")
        try:
            self.actor.answer(self.actor.begins("check", answer_s), wait, asked="check")
        except SpecError as fault:
            first, *others = fault.diagnostics
            if first.code != "RLC0764":
                raise
            raise SpecError(Diagnostic("RLC0767", *first[1:]), *others) from fault

    def start_anew(self) -> SGLangEngine:
        """End both, start them again, and return a client of the server."""
        # With the actor ends the guard of its server, and with that the server, however it hangs.
        self.actor.end()
        self.actor = self._make()
        return self._client_of(self.actor.answer(self.begins(), self._wait, asked="begin"))
