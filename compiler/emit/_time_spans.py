"""When each phase of a step begins and ends: one after the other, or on two sides at once until both are done."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.plan import StageTime


class Span(NamedTuple):
    """A phase on the clock of a step, in seconds."""

    name: str
    side: str
    begin: float
    end: float


def spans_of(time: StageTime) -> tuple[Span, ...]:
    """Return the phases of a step with their places in it; what both sides do waits for the later one."""
    clocks = {"train": 0.0, "rollout": 0.0}
    found: list[Span] = []
    for phase in time.phases:
        sides = ("train", "rollout") if phase.side == "both" or not time.overlaps else (phase.side,)
        begin = max(clocks[side] for side in sides)
        found.append(Span(phase.name, phase.side, begin, begin + phase.seconds))
        clocks.update(dict.fromkeys(sides, begin + phase.seconds))
    return tuple(found)
