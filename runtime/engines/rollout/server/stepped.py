"""What a server asks of the engine behind it beyond `runtime.protocols.RolloutEngine`: to be advanced step by step.

With it one task can serve all connections: it advances the engine, hands out what is finished, and lets others run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from runtime.protocols import Completion, Generation, GenerationRequest, RolloutEngine


class SteppedGeneration(Generation, Protocol):
    """Requests under way that are looked at without waiting."""

    def so_far(self) -> list[Completion]:
        """Return what there is of responses under way, as `abort` would, and break nothing off; some may be missing."""
        ...

    def poll(self) -> Completion | None:
        """Return the next finished response, or None if none is finished now; nothing is generated.

        Raises: SpecError if the policy's output is not a number.
        """
        ...


class SteppedEngine(RolloutEngine, Protocol):
    """An engine that generates when it is told to."""

    def begin(self, *, uses_earlier: bool = False) -> SteppedGeneration:
        """Return a generation without requests.

        Args:
            uses_earlier: whether prefixes are used that requests left of which none is under way any more.
        """
        ...

    def forget_prefixes(self) -> None:
        """Let go of what finished requests left."""
        ...

    def check(self, requests: Sequence[GenerationRequest]) -> None:
        """Raise SpecError with every request that cannot be served."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Return what happened since the engine was made, by name."""
        ...

    def advance(self) -> None:
        """Run some steps, until a sequence is finished or other tasks deserve a turn."""
        ...
