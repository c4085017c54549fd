"""Waits outlast their work.

What: a time limit of [timeouts] that somebody wrote is no shorter than what is waited for is predicted to take, on the
slowest stage.
Why it matters: a limit that is too short ends work that goes well, and a job starts again and again from its last
checkpoint; without one, a process that hangs holds all GPUs until a person looks.  Every wait of a plan has a limit.
Example: `timeouts.generation_s = 60` for rollouts that take seven minutes.
Fix: leave the limit out, so that it follows the prediction, or set it to what the message says.
Source: LIVE-05; NeMo-RL#3488, prime-rl#1713.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import Subject
from compiler.ir.timeouts import Timeouts
from compiler.rules._gpu_layout import fix, layout_of

CODE = "RLC0418"
ID = "LIVE-05"
_WORK = {
    "placement": "starting every process",
    "weight_load": "reading the weights",
    "generation": "generating a rollout",
    "train_step": "training on a rollout",
    "weight_sync": "sending the weights",
    "checkpoint": "writing a checkpoint",
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report limits that somebody wrote, and that are shorter than the work."""
    experiment = subject.experiment
    timeouts, layout = experiment.timeouts, layout_of(subject)
    written = [wait for wait in _WORK if subject.written(f"timeouts.{wait}_s")]
    if not written or layout is None or not isinstance(timeouts, Timeouts):
        return
    sides = (layout.placement.train_gpus, layout.placement.rollout_gpus)
    if not all(isinstance(side, int) and side > 0 for side in sides):
        return
    from compiler.planner.waits import predicted_waits

    gpu = subject.catalogue.load_hardware().get(str(experiment.cluster.gpu))
    found = [predicted_waits(experiment, stage, gpu) for stage in experiment.stages]
    for wait in written:
        path, limit = f"timeouts.{wait}_s", timeouts.__dict__[f"{wait}_s"]
        predicted = max((one for waits in found if (one := getattr(waits, wait)) is not None), default=0.0)
        if not isinstance(limit, float) or limit >= predicted:
            continue
        enough = float(ceil(max(timeouts.least_s, timeouts.factor * predicted)))
        yield Diagnostic(
            CODE,
            f"{_WORK[wait]} is predicted to take {predicted:,.0f} s, and the wait for it ends after {limit:,g} s",
            subject.labels((path, f"less than {predicted:,.0f} s")),
            alternatives(fix(path, enough, f"{timeouts.factor:g} times the prediction"), Help(f"leave {path} out")),
            rule=ID,
            paths=(path,),
        )
