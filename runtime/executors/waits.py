"""How long the driver waits for the actors of a plan: what [timeouts] says, by what they were asked for."""

from __future__ import annotations

from typing import Final, NamedTuple, Never

from compiler.ir.experiment import Experiment
from compiler.ir.timeouts import Timeouts

_START_S: Final = 300.0
_ANSWER_S: Final = 600.0
_SILENCE_S: Final = 30.0


class Wait(NamedTuple):
    """The longest that an answer may take, None for as long as it takes, and the field of the plan that says so.

    `limit_s` is what the plan says, where some of it is over.
    """

    seconds: float | None
    path: str
    limit_s: float = 0.0


class Waits(NamedTuple):
    """Every wait of a run; `placement_s` is that for machines, `silence_s` that for the next word of an engine."""

    placement_s: float
    silence_s: float
    start: Wait
    load: Wait
    train: Wait
    sync: Wait
    checkpoint: Wait

    def of(self, method: str) -> Wait:
        """Return how long a method of a rank may take."""
        if method in ("state", "load_state", "save_begins", "save_ended"):
            return self.checkpoint
        return {"open": self.start, "begin": self.load, "send_weights": self.sync}.get(method, self.train)


def waits_of(experiment: Experiment[Never]) -> Waits:
    """Return the waits of a plan.  One without [timeouts], whose actors are on one machine, limits only its start."""
    found = experiment.timeouts
    if not isinstance(found, Timeouts):
        for_ever = Wait(None, "run.executor")
        start = limited(_START_S, "run.executor")
        return Waits(_START_S, _SILENCE_S, start, for_ever, for_ever, for_ever, for_ever)
    return Waits(
        placement_s=found.placement_s,
        silence_s=found.generation_s,
        start=limited(found.placement_s, "timeouts.placement_s"),
        load=limited(found.weight_load_s, "timeouts.weight_load_s"),
        train=limited(found.train_step_s, "timeouts.train_step_s"),
        sync=limited(found.weight_sync_s, "timeouts.weight_sync_s"),
        checkpoint=limited(found.checkpoint_s, "timeouts.checkpoint_s"),
    )


def limited(seconds: float, path: str) -> Wait:
    """Return a wait that ends."""
    return Wait(seconds, path, seconds)


def collective_s(waits: Waits) -> float:
    """Return the longest that a collective operation waits for all ranks: those that wait in vain say so before the
    driver has waited for them, and the one that is silent then is the one that they waited for."""
    return 0.8 * (waits.train.seconds or _ANSWER_S)


def answer_s(waits: Waits) -> float:
    """Return the longest that a server may take for one answer: weights are the longest of them."""
    return waits.sync.seconds or _ANSWER_S
