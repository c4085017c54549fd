"""What a simulation found: distributions of what happened, and not one number for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.diagnostics.named_tuple import NamedTuple


class Quantiles(NamedTuple):
    """How a quantity is distributed."""

    mean: float
    p50: float
    p90: float
    p99: float
    most: float


class Outcome(NamedTuple):
    """A stage that was simulated to its end.

    Args:
        steps: batches that were trained on and not lost.
        seconds: from the first weights that were sent to the last batch.
        step_s: from one batch that was trained to the next, failures and waits included.
        staleness: groups by how many versions behind they were when training on them began.
        trainer_idle_frac: share of the time in which the trainer neither trains, sends nor writes a checkpoint.
        rollout_idle_frac: share of the time, over all engines, in which they generate nothing.
        trainer_failures, engine_failures: how many there were.
        lost_steps: batches that were trained on and had to be again.
        lost_tokens: tokens that were generated and lost with an engine or a trainer.
        left_out_tokens: tokens of groups that a filter left out.
        tokens: tokens that were generated and trained on.
        queue_s: mean seconds that a group waited to be judged.
        gpus, gpu_hours: that the stage took, whether they worked or not.
        lost_gpu_hours: of them those of work that was lost and of restarts.
    """

    steps: int
    seconds: float
    step_s: Quantiles
    staleness: Mapping[int, int]
    trainer_idle_frac: float
    rollout_idle_frac: float
    trainer_failures: int
    engine_failures: int
    lost_steps: int
    lost_tokens: float
    left_out_tokens: float
    tokens: float
    queue_s: float
    gpus: int
    gpu_hours: float
    lost_gpu_hours: float


def quantiles(values: Sequence[float]) -> Quantiles:
    """Return how values are distributed; a quantile is the smallest value that so many are not above."""
    if not values:
        return Quantiles(0.0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(values)

    def at(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Quantiles(sum(ordered) / len(ordered), at(50), at(90), at(99), ordered[-1])
