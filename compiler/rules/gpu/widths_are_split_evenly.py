"""Widths are split evenly.

What: tensor parallelism divides the inner width of feed-forward layers and of shared experts, and the heads of delta
nets; the tensor parallelism of experts divides the width of an expert; a rollout engine's GPUs divide them likewise.
Why it matters: each of them is an assertion, or a shape that does not fit, after the weights have been read.
Example: `parallel.tp = 8` for a feed-forward layer of 4,868 channels.
Fix: a divisor; the message lists the nearest that fits heads and widths.
Source: PAR-02; Megatron-core's ColumnParallelLinear and RowParallelLinear; slime#1796.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.model import Model
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject
from compiler.planner.engine_settings import expert_ways, samples
from compiler.planner.splits import heads_split, split_widths
from compiler.rules._gpu_layout import fix, layout_of, near_divisors, size

CODE = "RLC0520"
ID = "PAR-02"
_TP, _ETP, _ENGINE = "parallel.tp", "parallel.etp", "placement.gpus_per_engine"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report each width that an axis does not divide."""
    layout = layout_of(subject)
    if layout is None:
        return
    model, tp, etp = subject.experiment.model, size(layout.parallel.tp), size(layout.parallel.etp)
    if heads_split(model, tp) and _fills(layout.placement.train_gpus, tp):
        for fact, what, width, ways in split_widths(model, tp, etp):
            if width % ways:
                axis = _ETP if fact == "model.moe.expert_size" else _TP
                yield _diagnostic(subject, model, axis, fact, (what, width, ways))
    each = layout.each
    if not heads_split(model, each) or not _fills(layout.placement.rollout_gpus, each):
        return
    seen: set[str] = set()
    for stage in filter(samples, subject.stages()):
        for fact, what, width, ways in split_widths(model, each, expert_ways(stage, each)):
            if width % ways and fact not in seen:
                seen.add(fact)
                yield _diagnostic(subject, model, _ENGINE, fact, (what, width, ways))


def _fills(gpus: object, ways: int) -> bool:
    """Whether an axis can fill its GPUs; where it cannot, or heads come out uneven, another rule has said so."""
    return not isinstance(gpus, int) or gpus % ways == 0


def _diagnostic(subject: Subject, model: Model[Auto], axis: str, fact: str, split: tuple[str, int, int]) -> Diagnostic:
    what, width, ways = split
    fitting = [n for n in near_divisors(width, ways, most=width) if axis == _ETP or heads_split(model, n)]
    near = sorted(sorted(fitting, key=lambda n: (abs(n - ways), n))[:2])
    return Diagnostic(
        CODE,
        f"{width:,} {what} cannot be split over {ways:,} GPUs",
        subject.labels((fact, f"{width:,} {what}"), (axis, "not a divisor")),
        alternatives(*(fix(axis, n) for n in near)),
        rule=ID,
        paths=(fact, axis),
    )
