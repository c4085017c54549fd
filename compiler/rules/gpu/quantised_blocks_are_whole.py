"""Quantised blocks are whole.

What: where an engine is asked for a number format that scales blocks of values, each width that it splits over GPUs
is a multiple of the block on every GPU: 128 blockwise, 32 in MXFP8 and MXFP4, 16 in NVFP4 and for plain FP8 training.
Why it matters: a block that lies on two GPUs has no scale of its own; engines fail when weights are loaded, with shapes
that name neither the format nor the axis.
Example: experts of 1,536 channels over `parallel.etp = 16` with `fp8_recipe = "blockwise"`: 96 on each GPU.
Fix: fewer GPUs for one layer, or a format with smaller blocks.
Source: PAR-03; slime#1796, vllm PR#44763, verl#4822.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.engine_settings import expert_ways
from compiler.planner.number_formats import NumberFormat, block_widths, formats_of
from compiler.planner.splits import heads_split
from compiler.rules._gpu_layout import Layout, divisors, fix, layout_of, size

CODE = "RLC0521"
ID = "PAR-03"
_TP, _ETP, _ENGINE, _EXPERT = "parallel.tp", "parallel.etp", "placement.gpus_per_engine", "model.moe.expert_size"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first width of each asked format that its blocks do not fill."""
    layout = layout_of(subject)
    if layout is None:
        return
    seen: set[tuple[str, str]] = set()
    for stage in subject.stages():
        for asked in formats_of(stage):
            if (asked.path, asked.value) not in seen:
                seen.add((asked.path, asked.value))
                yield from _check_format(stage, layout, asked)


def _check_format(stage: StageSubject, layout: Layout, asked: NumberFormat) -> Iterator[Diagnostic]:
    model = stage.subject.experiment.model
    is_training, each = asked.role == "train", layout.each
    ways = size(layout.parallel.tp) if is_training else each
    experts = size(layout.parallel.etp) if is_training else expert_ways(stage, each)
    for fact, what, width, over in block_widths(model, ways, experts):
        if width % over == 0 and (width // over) % asked.block:
            axis = _ENGINE if not is_training else _ETP if fact == _EXPERT else _TP
            yield _diagnostic(stage, asked, axis, (fact, what, width, over))
            return


def _diagnostic(stage: StageSubject, asked: NumberFormat, axis: str, split: tuple[str, str, int, int]) -> Diagnostic:
    subject, (fact, what, width, over) = stage.subject, split
    said = (fact, f"{width:,} {what}"), (axis, f"over {over:,} GPUs: {width // over:,} on each")
    above = tuple(label._replace(is_primary=False) for label in subject.labels(*(said if over > 1 else said[:1])))
    whole = [n for n in divisors(over) if n < over and width % n == 0 and width // n % asked.block == 0]
    fitting = [n for n in whole if axis == _ETP or heads_split(subject.experiment.model, n)]
    return Diagnostic(
        CODE,
        f"{asked.value} scales blocks of {asked.block:,} values, and a GPU has {width // over:,} of {width:,} {what}",
        (*above, *stage.labels((asked.path, f"blocks of {asked.block:,}"))),
        alternatives(*(fix(axis, n) for n in fitting[-1:])),
        rule=ID,
        paths=(fact, axis, stage.path(asked.path)),
    )
