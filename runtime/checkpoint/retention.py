"""Which checkpoints of a run are kept: the newest, and of the stage under way those that measured best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compiler.ir.data import Checkpoint
from compiler.ir.evaluated import is_better_low
from compiler.ir.openness import Off


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How many are kept.

    Args:
        latest: the newest of the run; None keeps all.
        best: of each stage, beside them.
        metric: what says which are best, as metrics.jsonl names it.
    """

    latest: int | None = None
    best: int = 0
    metric: str = ""


def retention_of(settings: Checkpoint) -> Retention:
    """Return what [checkpoint] says."""
    if isinstance(settings.keep_latest, Off):
        return Retention()
    if isinstance(settings.keep_best, Off) or isinstance(settings.best_by, Off):
        return Retention(latest=settings.keep_latest)
    start, _, kind = settings.best_by.rpartition(".")
    place, _, name = start.partition(".")
    return Retention(latest=settings.keep_latest, best=settings.keep_best, metric=f"{place}/{name}/{kind}")


def not_kept(states: Sequence[dict[str, Any]], rule: Retention) -> list[int]:
    """Return which checkpoints go, by their index; `states` are what they recorded, the newest first.

    Of equal measurements the newer checkpoint is the better one.
    """
    if rule.latest is None:
        return []
    kept = set(range(min(rule.latest, len(states))))
    sign = 1.0 if is_better_low(rule.metric) else -1.0
    for stage in {state.get("stage") for state in states}:
        measured = [
            (sign * float(state["measured"][rule.metric]), at)
            for at, state in enumerate(states)
            if state.get("stage") == stage and rule.metric in state.get("measured", {})
        ]
        kept |= {at for _, at in sorted(measured)[: rule.best]}
    return [at for at in range(len(states)) if at not in kept]
