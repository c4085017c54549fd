"""Asynchronous loops have GPUs of their own.

What: on a target with GPUs, a stage whose sampling does not wait for training has `placement.mode = "split"`; on every
target it takes the rollout engine's log-probs, or its own, as those of the policy that sampled.
Why it matters: sides that share GPUs take turns, so nothing overlaps, and an engine that is asleep cannot sample; and
without the log-probs of the weights that sampled, the ratio of a stale sample is that of another policy.  In one
process on a CPU nothing overlaps either, and no side waits for the other's memory: what a loop of some staleness
learns can be tried there.
Example: `schedule.mode = "async"` with `placement.mode = "colocate"`.
Fix: `placement.mode = "split"`, or `schedule.mode = "sync"`.
Source: PLACE-03, ALGO-02; slime's train_async.py asserts the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, alternatives
from compiler.ir.loss import DistillationLoss, PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._gpu_layout import Layout, fix, layout_of

CODE = "RLC0510"
ID = "PLACE-03"
_MODE = "schedule.mode"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that do not wait for training and share their GPUs, sample nothing, or do not know who sampled."""
    experiment = subject.experiment
    takes_turns = subject.catalogue.load_target(experiment.cluster.target).takes_turns
    shares = experiment.placement.mode == "colocate" and not takes_turns
    for stage in subject.stages():
        if not stage.stage.schedule.lag:
            continue
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, PolicyLoss) or isinstance(stage.stage.rollout, Off):
            message = f"stage {stage.stage.name} trains on data, not on what it samples: nothing runs beside it"
            if isinstance(loss, DistillationLoss):
                message = "the asynchronous loop trains on sampled tokens, and this loss compares whole distributions"
            yield _diagnostic(stage, message, ())
            continue
        if shares:
            labels = subject.labels(("placement.mode", "takes turns"))
            layout = layout_of(subject)
            message = "sampling cannot go on beside training on the same GPUs"
            found = _diagnostic(stage, message, tuple(label._replace(is_primary=False) for label in labels))
            yield found if layout is None else found._replace(help=alternatives(_divided(layout), *found.help))
        if loss.old_logprobs == "current":
            labels = stage.labels(("loss.old_logprobs", "the policy of the moment"))
            message = "samples are stale, and their ratio is measured from the policy of the moment"
            found = _diagnostic(stage, message, tuple(label._replace(is_primary=False) for label in labels))
            way = stage.fix("loss.old_logprobs", "rollout")
            yield found._replace(help=alternatives(way, *found.help), rule="ALGO-02")


def _divided(layout: Layout) -> Help:
    way, half = fix("placement.mode", "split"), layout.total // 2
    if not half:
        return way
    return Help(f"{way.text} and placement.train_gpus = {half}", way.sets + fix("placement.train_gpus", half).sets)


def _diagnostic(stage: StageSubject, message: str, labels: tuple[Label, ...]) -> Diagnostic:
    own = stage.labels((_MODE, "does not wait"))
    paths = ("placement.mode", stage.path(_MODE))
    return Diagnostic(CODE, message, (*labels, *own), (stage.fix(_MODE, "sync"),), rule=ID, paths=paths)
