"""No side stands idle.

What: GPUs that a split placement sets aside for sampling are used by some stage; a warning where a stage that only
trains leaves them idle for as long as it lasts.
Why it matters: they are paid for, and nothing says that they do nothing.
Example: two stages, SFT and then GRPO, with `placement.mode = "split"`.
Fix: `placement.mode = "colocate"`; or an experiment for each stage, each with the GPUs that it needs.
Source: PLACE-01, the part about GPUs that are not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import fix, layout_of

CODE = "RLC0539"
ID = "PLACE-01"
_MODE = "placement.mode"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report GPUs for sampling where nothing samples, or where a stage does not."""
    layout = layout_of(subject)
    if layout is None or layout.placement.mode != "split" or not isinstance(layout.placement.rollout_gpus, int):
        return
    idle = [stage for stage in subject.stages() if isinstance(stage.stage.rollout, Off)]
    if not idle:
        return
    gpus, names = layout.placement.rollout_gpus, ", ".join(stage.stage.name for stage in idle)
    is_always = len(idle) == len(subject.experiment.stages)
    text = "nothing in this experiment samples" if is_always else f"stage {names} samples nothing"
    side = ("placement.rollout_gpus", "never used" if is_always else "idle")
    yield Diagnostic(
        CODE,
        f"{text}: {gpus:,} GPUs that are set aside for it stand idle",
        subject.labels(side, (_MODE, "sets them aside")),
        (_shared(subject, layout.total),),
        rule=ID,
        severity="error" if is_always else "warning",
        paths=(_MODE, "placement.rollout_gpus"),
    )


def _shared(subject: Subject, total: int) -> Help:
    """Both sides on all GPUs, with the numbers that are written."""
    way = fix(_MODE, "colocate")
    for path in ("placement.train_gpus", "placement.rollout_gpus"):
        if subject.written(path):
            way = Help(f"{way.text} and {path} = {total}", way.sets + fix(path, total).sets)
    return way
