"""What only samples ends the run.

What: a stage with `debug.mode = "rollout_only"` is the last one, and has no `until`.
Why it matters: its weights stay as they are.  A stage after it would go on from weights that were not trained, as if
the one before had never been, and a bound that a measurement has to reach is reached at the start or never.
Example: two stages, of which the first has `debug.mode = "rollout_only"`.
Fix: ask only the last stage to sample, leave the later ones out, or train in all of them.
Source: DBG-02; slime and NeMo-RL have no stages, and no such bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0329"
ID = "DBG-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages after one that trains nothing, and bounds that nothing moves towards."""
    stages = list(subject.stages())
    for stage in stages:
        debug = stage.stage.debug
        if isinstance(debug, Off) or debug.mode != "rollout_only":
            continue
        if stage.index < len(stages) - 1:
            yield _followed(stage, stages[stage.index + 1])
        if not isinstance(stage.stage.until, Off):
            yield _bounded(stage)


def _followed(stage: StageSubject, follower: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"stage {follower.stage.name} would begin as if stage {stage.stage.name} had not been",
        stage.labels(("debug.mode", "trains nothing")),
        (stage.fix("debug.mode", "full"), Help(f"or leave the stages after {stage.stage.name} out")),
        rule=ID,
        paths=(stage.path("debug.mode"),),
    )


def _bounded(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"stage {stage.stage.name} waits for a measurement to change, and trains nothing",
        stage.labels(("until", "never moves"), ("debug.mode", "trains nothing")),
        (stage.fix("debug.mode", "full"), Help(f"or leave {stage.shown('until')} out")),
        rule=ID,
        paths=(stage.path("until"),),
    )
