"""One forward and one backward at a time, event by event: what a pipeline waits, and what a slow stage costs.

Each stage runs its part of the micro-batches in the order of Megatron-core's schedules (arXiv:2104.04473, section 2.2):
so many forward passes as there are stages behind it, then one forward and one backward in turn, then what is left.
With several groups of layers for each stage the micro-batches go through them `stages` at a time.  Whatever the order,
a pass begins when its stage is free and the pass before it, on this or another stage, has ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.named_tuple import NamedTuple


class Pipeline(NamedTuple):
    """Stages, micro-batches, groups of layers that one stage interleaves, and seconds of the passes of one group."""

    stages: int
    micro_batches: int
    groups: int = 1
    forward_s: float = 1.0
    backward_s: float = 2.0


class PipelineRun(NamedTuple):
    """Seconds from the first pass to the last, and the share of it in which a stage waits, on average."""

    seconds: float
    idle_frac: float


class _Pass(NamedTuple):
    is_forward: bool
    group: int
    micro_batch: int


def run_pipeline(pipeline: Pipeline, slowdown: Sequence[float] = ()) -> PipelineRun:
    """Return how long all micro-batches take.

    Args:
        slowdown: of each stage, how many times as long as predicted its passes take.

    Raises: ValueError if several groups are interleaved and the micro-batches are no multiple of the stages.
    """
    p, m, v = pipeline.stages, pipeline.micro_batches, pipeline.groups
    if v > 1 and m % p:
        raise ValueError(f"{m} micro-batches cannot be interleaved over {p} stages")
    factors = slowdown or (1.0,) * p
    orders = [_order(pipeline, stage) for stage in range(p)]
    ends: dict[tuple[_Pass, int], float] = {}
    at, free = [0] * p, [0.0] * p
    left = sum(map(len, orders))
    while left:
        before = left
        for stage in range(p):
            while at[stage] < len(orders[stage]):
                work = orders[stage][at[stage]]
                needed = _needed(pipeline, stage, work)
                if needed is not None and needed not in ends:
                    break
                start = free[stage] if needed is None else max(free[stage], ends[needed])
                seconds = (pipeline.forward_s if work.is_forward else pipeline.backward_s) * factors[stage]
                free[stage] = ends[work, stage] = start + seconds
                at[stage] += 1
                left -= 1
        assert left < before, "the order of a stage waits for itself"
    total = max(free)
    busy = m * v * (pipeline.forward_s + pipeline.backward_s) * sum(factors)
    return PipelineRun(total, 1 - busy / (p * total))


def slow_stage_frac(pipeline: Pipeline) -> float:
    """Return by how much of itself the time grows if one stage, the worst to be slow, takes twice as long."""
    base = run_pipeline(pipeline).seconds
    worst = 0.0
    for stage in {0, pipeline.stages // 2, pipeline.stages - 1}:
        factors = [2.0 if at == stage else 1.0 for at in range(pipeline.stages)]
        worst = max(worst, run_pipeline(pipeline, factors).seconds)
    return worst / base - 1


def _order(pipeline: Pipeline, stage: int) -> list[_Pass]:
    p, m, v = pipeline.stages, pipeline.micro_batches, pipeline.groups
    forward = [_nth(pipeline, at, is_forward=True) for at in range(m * v)]
    backward = [_nth(pipeline, at, is_forward=False) for at in range(m * v)]
    ahead = min(m * v, p - 1 - stage if v == 1 else 2 * (p - 1 - stage) + (v - 1) * p)
    order = forward[:ahead]
    for one, other in zip(forward[ahead:], backward, strict=False):
        order += [one, other]
    return order + backward[m * v - ahead :]


def _nth(pipeline: Pipeline, at: int, *, is_forward: bool) -> _Pass:
    """The pass that is the nth of every stage: groups in turn, `stages` micro-batches of each."""
    p, v = pipeline.stages, pipeline.groups
    if v == 1:
        return _Pass(is_forward, 0, at)
    block, inside = divmod(at, p * v)
    group = inside // p
    return _Pass(is_forward, group if is_forward else v - 1 - group, block * p + inside % p)


def _needed(pipeline: Pipeline, stage: int, work: _Pass) -> tuple[_Pass, int] | None:
    """The pass whose result a pass takes, and its stage."""
    last = pipeline.stages - 1
    if work.is_forward:
        if stage > 0:
            return work, stage - 1
        return (work._replace(group=work.group - 1), last) if work.group > 0 else None
    if stage < last:
        return work, stage + 1
    if work.group < pipeline.groups - 1:
        return work._replace(group=work.group + 1), 0
    return work._replace(is_forward=True), last
