"""Training alone has a recording.

What: a stage with `debug.mode = "train_only"` names one in `debug.replay`.
Why it matters: such a stage samples nothing, so there would be nothing to train on.
Example: `[debug] mode = "train_only"` and nothing else.
Fix: record a run with `debug.record = true`, then `debug.replay = "runs/NAME/rollouts/STAGE"`.
Source: DBG-01; slime sets debug_train_only itself where load_debug_rollout_data is given.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0328"
ID = "DBG-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that would train on nothing."""
    for stage in subject.stages():
        debug = stage.stage.debug
        if not isinstance(debug, Off) and debug.mode == "train_only" and isinstance(debug.replay, Off):
            name = stage.stage.name
            yield Diagnostic(
                CODE,
                f"stage {name} samples nothing, and no recording says what it trains on",
                stage.labels(("debug.mode", "trains only")),
                (
                    Help(f'set {stage.shown("debug.replay")} = "runs/NAME/rollouts/{name}"'),
                    Help("a run with debug.record = true writes that folder"),
                    stage.fix("debug.mode", "full"),
                ),
                rule=ID,
                paths=(stage.path("debug.replay"),),
            )
